"""`python -m dicom_node` is `chexnode`."""

from dicom_node.cli import main

main()
