"""Prefect flows, one a file: what runs in which order, and nothing else."""
