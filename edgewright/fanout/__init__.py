"""Fan-out: pieces of a stage's work made by others, in processes of this machine or on the nodes of a Ray cluster."""
