"""A network in the number format of an FPGA's deep-learning unit: written, emulated, and run where a card is."""
