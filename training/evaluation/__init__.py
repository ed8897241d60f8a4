"""How good a localiser is: boxes matched to findings, curves, intervals, tables and pictures. No network in here."""
