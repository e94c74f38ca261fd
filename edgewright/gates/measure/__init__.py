"""What is measured: each file is one question about two sets of pictures."""
