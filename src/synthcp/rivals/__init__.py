"""Every other way to detect failures and anomalies, one file each, and the controls."""
