"""Many devices: which of them run what, how a release spreads among them, and when that is stopped."""
