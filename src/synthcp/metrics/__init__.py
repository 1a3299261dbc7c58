"""Scores of what a detector says: ranking of pixels, regression of class quality, overlap of label maps."""
