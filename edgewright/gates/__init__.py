"""The quality gates: evidence in, verdict out.

Decides whether synthetic data may be trained on and whether a model may be released. Fails closed: evidence that is
missing, too small or not finite is never a pass.
"""
