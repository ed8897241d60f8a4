"""What an operator may do about another picture under a known UID: accept it."""

from dicom_node.errors import NotFound
from dicom_node.ledger import Ledger, instances, overview
from dicom_node.ledger.rows import InstanceRow
from dicom_node.operate.choosing import at_work

#: digits of a digest that name a version; a UID could begin another's digest with fewer
LEAST_OF_A_DIGEST = 8


def accept(ledger: Ledger, named: str, *, now: float, dry_run: bool = False) -> InstanceRow:
    """Say that a quarantined version is the right one; `named`: its SOP Instance UID or the beginning of its digest.

    It becomes current and is analysed. Raises NotFound where nothing of that name, or more than one, is in quarantine.
    """
    with at_work(ledger, dry_run=dry_run) as tx:
        waiting = overview.quarantined(tx)
        meant = [row for row in waiting if named == row.sop_instance_uid or _begins(row.digest, named)]
        if not meant:
            raise NotFound(f"no quarantined instance is called {named}: `chexnode status` lists them")
        if len(meant) > 1:
            digests = ", ".join(row.digest[:12] for row in meant)
            raise NotFound(f"{named} has {len(meant)} versions in quarantine: name one by its digest ({digests})")
        if not dry_run:
            instances.accept(tx, meant[0].instance_id, now)
    return meant[0]


def _begins(digest: str, named: str) -> bool:
    return len(named) >= LEAST_OF_A_DIGEST and digest.startswith(named.lower())
