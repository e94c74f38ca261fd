"""Objects, backgrounds and light become a picture."""
