"""Room between: asking an archive what it holds (C-FIND, QIDO-RS) and for an object of it (WADO-RS)."""
