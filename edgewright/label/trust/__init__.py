"""How far a label can be trusted: agreement, evidence from held-out photographs, suspects."""
