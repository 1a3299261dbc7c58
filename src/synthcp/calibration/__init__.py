"""Alarms with a promise: intervals and thresholds whose error rate is set on labelled images kept for that purpose.

Each promise is about a new image that is exchangeable with the calibration images (as if drawn from the same pile),
and about nothing else: another camera or another city is another pile.

- interval (split conformal): the true quality of a class is inside with probability 1 - alpha or more.
- review (learn then test): of the accepted predictions, a share alpha at most is bad, with confidence 1 - delta.
- anomaly (conformal risk control): on average a share `area` at most of an image's known pixels is flagged as unknown.
"""
