"""The DICOM Conformance Statement (PS3.2 Annex N), written from the tables that the running node uses.

services   what is accepted, proposed and answered          objects   what is written into each object
statement  the text; networking and contents are parts      markdown  paragraphs and tables
"""

from dicom_node.conformance.statement import statement

__all__ = ["statement"]
