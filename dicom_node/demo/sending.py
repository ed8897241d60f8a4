"""Sending as an archive or a modality does it, for the demonstration's peers."""
