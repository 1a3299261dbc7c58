"""Segmenters: M, from an image to a label map."""
