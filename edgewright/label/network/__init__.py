"""The segmentation network and how it learns."""
