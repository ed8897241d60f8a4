"""DICOMweb (PS3.18), what both directions share: how a service is spoken to, and its three transactions."""
