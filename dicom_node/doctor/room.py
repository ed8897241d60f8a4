"""How long the disk lasts, and which destination holds back what could be deleted: told long before it is full."""

import os
import time
from collections.abc import Iterator

from dicom_node import operate
from dicom_node.config import Settings
from dicom_node.doctor.check import Check, failed, ok, warning
from dicom_node.errors import NodeError
from dicom_node.ledger import Ledger, named, overview
from dicom_node.ledger.overview import DestinationView

_DAY = 86400.0
#: days left below which it is no longer something to know, but something to do
_URGENT = 2.0
#: days that are told apart; beyond them it is a long time
_FAR = 365.0


def checks(settings: Settings) -> Iterator[Check]:
    """What fills the disk by when; nothing where there is no ledger to ask, which others have told by then."""
    now = time.time()
    try:
        ledger = Ledger.for_settings(settings.node)
        try:
            with ledger.reading() as tx:
                views = overview.destinations(tx, [peer.name for peer in settings.destinations])
                daily = named.received_since(tx, now - _DAY)
                held = {view.destination: named.held_back(tx, view.destination) for view in views}
        finally:
            ledger.close()
    except NodeError:
        return
    if not settings.node.folder.is_dir():
        return
    state = os.statvfs(settings.node.folder)
    left = state.f_bavail * state.f_frsize - settings.receive.low_watermark
    days = left / daily if daily else float("inf")
    for view in views:
        if held[view.destination] and _waits_for_somebody(view, settings, now=now):
            yield _held_back(view.destination, held[view.destination], days)
    yield ok("room", f"received within a day: {_size(daily)}; {_lasts(days)}")


def _waits_for_somebody(view: DestinationView, settings: Settings, *, now: float) -> bool:
    dead = operate.is_dead(view, dead_after=settings.deliver.dead_after, now=now)
    return dead or bool(view.held or view.failed or view.uncommitted)


def _held_back(name: str, size: int, days: float) -> Check:
    said = f"what {name} has not got keeps {_size(size)} of images from being deleted; {_lasts(days)}"
    advice = f"`chexnode status` tells what it waits for; to do without it: chexnode abandon {name}"
    return (failed if days < _URGENT else warning)("room", said, advice)


def _lasts(days: float) -> str:
    """By when nothing is received any more, were nothing deleted."""
    if days > _FAR:
        return "at that rate the disk lasts for more than a year"
    if days <= 0:
        return "the disk is at receive.low_watermark, and nothing is received"
    return f"at a day's rate the disk is at receive.low_watermark in {days:.1f} days, where nothing is deleted"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
