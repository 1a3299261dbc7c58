"""What every room stands on: files, SPECs, device and seeds, progress, provenance, extras."""
