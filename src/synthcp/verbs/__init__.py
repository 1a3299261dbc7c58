"""What a user asks a monitor to do, one file for each: score, evaluate, calibrate, select, audit, demo."""
