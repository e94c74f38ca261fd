"""Detectors: how they are trained, how they are rebuilt from what was published, and the one evaluator.

Decides which graph is trained, what a training image is, and how detections are scored against truth.
"""
