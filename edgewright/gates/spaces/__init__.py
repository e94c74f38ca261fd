"""Feature spaces: what turns a picture into the vector that distances are measured in."""
