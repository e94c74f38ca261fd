"""Where objects stand: a model fitted to real boxes, how far two sets lie apart, steering towards hard ones."""
