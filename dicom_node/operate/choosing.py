"""What an operator means: studies, by name or by time, and a destination."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from dicom_node.errors import NotFound
from dicom_node.ledger import Ledger, Tx, choice


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which studies and destinations are meant: all that meet whatever is given."""

    study_instance_uid: str | None = None
    accession_number: str | None = None
    #: a peer's name
    destination: str | None = None
    #: the last image came at `since` or later, before `until`; seconds since the epoch
    since: float | None = None
    until: float | None = None

    @property
    def names_studies(self) -> bool:
        """It says which studies are meant; else all are."""
        return (self.study_instance_uid, self.accession_number, self.since, self.until) != (None,) * 4


@contextlib.contextmanager
def at_work(ledger: Ledger, *, dry_run: bool) -> Iterator[Tx]:
    """A transaction that writes, or a snapshot that cannot."""
    with ledger.reading() if dry_run else ledger.transaction() as tx:
        yield tx


def studies_of(tx: Tx, chosen: Choice) -> list[int] | None:
    """Ids of the chosen studies; None: all. Raises NotFound where a UID or an accession number stands for none."""
    uid, accession = chosen.study_instance_uid, chosen.accession_number
    if not chosen.names_studies:
        return None
    found = choice.studies(tx, study_uid=uid, accession=accession, since=chosen.since, until=chosen.until)
    if not found and (uid is not None or accession is not None):
        called = " and ".join(
            name for name in (uid and f"UID {uid}", accession and f"accession number {accession}") if name
        )
        raise NotFound(f"there is no study with {called}: `chexnode status` lists the latest")
    return found
