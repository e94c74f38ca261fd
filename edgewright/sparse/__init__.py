"""Sparsity: networks with fewer channels, with zeros among their weights, and what either is worth on a processor."""
