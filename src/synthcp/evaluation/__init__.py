"""Detectors x data set -> Results: what is judged, how it is scored, and the scores."""
