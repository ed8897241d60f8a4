"""What both directions of DICOM's network protocol share. Knows no ledger."""
