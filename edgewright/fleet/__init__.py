"""Many devices: who belongs, what they tell, how a release spreads among them, and when that is stopped."""
