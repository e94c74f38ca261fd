"""From a float detector to the one INT8 file a device loads, and what that costs in accuracy, bytes and time."""
