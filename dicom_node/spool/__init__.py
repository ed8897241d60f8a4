"""Immutable bytes on disk, under names of our own that are durable before their bytes come."""

from dicom_node.spool.faults import NO_ROOM, fsync_folder
from dicom_node.spool.objects import RESERVE, Spool
from dicom_node.spool.part import Part

__all__ = ["NO_ROOM", "RESERVE", "Part", "Spool", "fsync_folder"]
