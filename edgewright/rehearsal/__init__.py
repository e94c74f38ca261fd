"""The drift rehearsal: a simulated line changes, devices notice, hard frames come back, a better release goes out."""
