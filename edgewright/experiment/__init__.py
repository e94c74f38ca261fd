"""Experiments: is synthetic data worth its place? Who is compared with whom, on which images, and what follows."""
