"""One object at a time: real crops, what cuts them out, and what makes new ones."""
