"""Every fact and every transition of the node; the functions of a noun stand in the file of its name."""

from dicom_node.ledger.bell import Bell, Channel, Listener
from dicom_node.ledger.ledger import Ledger, Tx, url_for

__all__ = ["Bell", "Channel", "Ledger", "Listener", "Tx", "url_for"]
