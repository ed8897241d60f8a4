"""Statuses of a C-STORE response by name (PS3.4 Table B.2-1, PS3.7 Annex C)."""

from collections.abc import Mapping
from enum import IntEnum


class Status(IntEnum):
    SUCCESS = 0x0000
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORISED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    DOES_NOT_MATCH_SOP_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000


#: what the node means by each status that it answers a C-STORE with, and what a sender should do
ANSWERS: Mapping[Status, tuple[str, str]] = {
    Status.SUCCESS: (
        "The bytes and their record would survive a power cut. Also for a duplicate, for a result of a chexnode's own, "
        "and for what will not be analysed",
        "nothing",
    ),
    Status.SOP_CLASS_NOT_SUPPORTED: ("The SOP class is not that of the presentation context", "correct the sender"),
    Status.NOT_AUTHORISED: (
        "The peer may only report on commitments: it is not configured as one that sends",
        "set `sends = true` for it",
    ),
    Status.OUT_OF_RESOURCES: ("No room: the disk, or the data set is above the largest that is taken", "send later"),
    Status.DOES_NOT_MATCH_SOP_CLASS: ("The data set names another SOP class or instance", "correct the object"),
    Status.CANNOT_UNDERSTAND: ("No data set, a UID that is none, or no Study Instance UID", "correct the object"),
}


def is_stored(status: int) -> bool:
    """Success, or a warning: stored, though perhaps coerced (Bxxx)."""
    return status == Status.SUCCESS or status & 0xF000 == 0xB000


def may_succeed_later(status: int) -> bool:
    """Refused for want of resources (A7xx): the same object may be taken later."""
    return status & 0xFF00 == 0xA700


def is_pending(status: int) -> bool:
    """Matches are still coming (PS3.4 Table C.4-1)."""
    return status in (0xFF00, 0xFF01)
