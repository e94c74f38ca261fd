"""Work cut into shards that several processes make without overlap, and that survive the rest."""
