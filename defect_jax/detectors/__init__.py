"""Detectors: anomaly maps of tiles by what was fitted to good photos, one kind a file."""
