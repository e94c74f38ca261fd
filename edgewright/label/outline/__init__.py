"""From a box to an outline."""
