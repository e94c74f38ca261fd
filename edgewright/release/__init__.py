"""Releases: bundles, the signed repository, the server that devices pull from, the gateway's side of a flash.

Decides what is permitted on a channel. Refuses to publish a number twice, or with keys that the repository does not
trust.
"""
