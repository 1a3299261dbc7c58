"""Likely label errors in a user's own data: where the image fits another label better than the given one."""
