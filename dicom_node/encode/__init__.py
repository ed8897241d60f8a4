"""Findings become DICOM objects: pure builders, no clock, no random source; times and every UID are arguments.

builders   build(): the table kind -> builder             context   EncodeContext, all that a builder is told
seg, sc, gsps, sr, kos  one file a DICOM object            profiles  which objects a destination gets, in which form
identity   HEADER_KEYWORDS, header_of(): what is copied    overlay   render_overlay(), the picture of the SC
findings   shown(): which findings are drawn               marks     by which any chexnode knows its own results

Import from the modules: `identity` and `profiles` do not load highdicom, so the child that parses may use them.
"""
