"""Generators: G, from a label map back to an image, and what trains them."""
