"""Whether ledger and spool say the same: every object that a row names is there with its bytes, and no other is."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from dicom_node.dimse.part10 import LONGEST_META, read_file_meta
from dicom_node.errors import Unreadable
from dicom_node.ledger import Ledger
from dicom_node.ledger import named as objects
from dicom_node.ledger.named import Named, Noun
from dicom_node.spool import Spool

#: age in seconds below which a file that no row names may be one that is being received
YOUNG = 86400.0


class Wrong(StrEnum):
    """What is wrong with an object, or with the ledger."""

    MISSING = "missing"
    DAMAGED = "damaged"
    ORPHAN = "orphan"
    LEDGER = "ledger"


class Mended(StrEnum):
    """What was done about it."""

    RESTORED = "restored from the backup"
    AWAITED = "its bytes are taken when it is sent again"
    GIVEN_UP = "given up: what waited for it is abandoned"


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """One thing that ledger and spool do not agree about."""

    wrong: Wrong
    #: in a few words; no identifying value stands in it
    said: str
    #: the row; None for an orphan and for the ledger itself
    named: Named | None = None
    #: what was done; None: nothing
    mended: Mended | None = None


def verify(ledger: Ledger, spool: Spool, *, quick: bool = False, now: float | None = None) -> Iterator[Discrepancy]:
    """Every discrepancy, each as soon as it is found; safe beside a node at work. `quick` reads no bytes of objects.

    Raises StorageFault, LedgerUnavailable.
    """
    now = time.time() if now is None else now
    with ledger.reading() as tx:
        yield from (Discrepancy(wrong=Wrong.LEDGER, said=said) for said in objects.unsound(tx))
        rows = list(objects.named(tx))
    for row in rows:
        wrong, said = _look(row, spool.path(row.spool_key), quick=quick)
        # retention may have come by since the row was read
        if wrong is not None and _is_named(ledger, row):
            yield Discrepancy(wrong=wrong, said=said, named=row)
    yield from _orphans(ledger, spool, now=now)


def mend(ledger: Ledger, spool: Spool, found: Discrepancy, *, backup: Path | None = None, now: float) -> Discrepancy:
    """Do what can be done about one object: its bytes from a backup; else set the damaged ones aside and say so.

    A result that is lost is given up; an image's row stays, and takes the bytes when the image is sent again.
    Raises StorageFault, OutOfRoom, LedgerUnavailable.
    """
    row = found.named
    if row is None:
        return found
    if found.wrong is Wrong.DAMAGED:
        spool.set_aside(row.spool_key)
    if backup is not None and _restore(row, spool, backup):
        return _done(found, Mended.RESTORED)
    if row.noun is Noun.INSTANCE:
        return _done(found, Mended.AWAITED)
    if row.noun is Noun.RESULT:
        with ledger.transaction() as tx:
            objects.give_up(tx, row, now=now, reason="its bytes are lost")
        return _done(found, Mended.GIVEN_UP)
    return found


def _done(found: Discrepancy, what: Mended) -> Discrepancy:
    return Discrepancy(wrong=found.wrong, said=found.said, named=found.named, mended=what)


def _look(row: Named, path: Path, *, quick: bool) -> tuple[Wrong | None, str]:
    """What is wrong with one object, and how that is seen."""
    try:
        if quick or not row.digest:
            path.stat()
            return None, ""
        digest = _digest(path, behind_meta=row.noun is Noun.INSTANCE)
    except FileNotFoundError:
        return Wrong.MISSING, "the ledger names it, the spool does not have it"
    except OSError as error:
        return Wrong.DAMAGED, f"it cannot be read ({error.strerror})"
    except Unreadable:
        return Wrong.DAMAGED, "its file does not begin as the node wrote it"
    if digest != row.digest:
        return Wrong.DAMAGED, f"its bytes are others than those that were kept (digest {digest[:8]}…)"
    return None, ""


def _digest(path: Path, *, behind_meta: bool) -> str:
    """SHA-256 of a file, or of the data set in it. Raises OSError, Unreadable."""
    with path.open("rb") as file:
        if behind_meta:
            file.seek(read_file_meta(file.read(LONGEST_META)).data_set_offset)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _restore(row: Named, spool: Spool, backup: Path) -> bool:
    """Take an object from a backup, if it is there and whole."""
    source = backup / "spool" / "objects" / row.spool_key[:2] / row.spool_key
    if _look(row, source, quick=False)[0] is not None:
        return False
    spool.take(source, row.spool_key)
    return True


def _is_named(ledger: Ledger, row: Named) -> bool:
    with ledger.reading() as tx:
        return any(each == row for each in objects.named(tx, [row.spool_key]))


def _orphans(ledger: Ledger, spool: Spool, *, now: float) -> Iterator[Discrepancy]:
    with ledger.reading() as tx:
        known = {row.spool_key for row in objects.named(tx)}
    for path in spool.orphans(known):
        try:
            age = now - path.stat().st_mtime
        except FileNotFoundError:
            continue
        if age > YOUNG:
            yield Discrepancy(wrong=Wrong.ORPHAN, said=f"{path.name}: no row names it, {age / 86400:.0f} days old")
