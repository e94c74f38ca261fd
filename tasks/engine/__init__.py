"""What makes a function a stage: its faces, its key, where it runs, what is written down of it."""
