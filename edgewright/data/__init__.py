"""The dataset artifact, the formats it is read from and written to, the checks, the groups and the splits.

Decides what is an image, a label and a split. Refuses nothing silently: what cannot be used is quarantined by name.
"""
