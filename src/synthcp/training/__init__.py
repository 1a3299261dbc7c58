"""Training: one plain loop, and for each network what one step of it does."""
