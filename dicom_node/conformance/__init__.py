"""The DICOM Conformance Statement (PS3.2 Annex N), written from the tables that the running node uses."""
