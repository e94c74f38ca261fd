"""Servers of a home and what keeps it tidy: Prefect's, the two web interfaces, garbage collection."""
