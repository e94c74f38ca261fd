"""The budget: which detector is the best one within so many bytes, so much loss and so many milliseconds."""
