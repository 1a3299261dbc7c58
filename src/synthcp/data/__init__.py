"""Data sets: image and label files, or drawn scenes, as samples."""
