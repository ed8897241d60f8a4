"""`python -m dicom_node.conformance` prints docs/conformance.md: the statement of the default configuration."""

import sys

from dicom_node.config import Settings
from dicom_node.conformance import statement
from model.weights import read_manifest

if __name__ == "__main__":
    sys.stdout.write(statement(Settings(), read_manifest()))
