"""Detectors: from an image and its prediction to what is wrong or unknown in it."""
