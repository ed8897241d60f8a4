"""Storage Commitment: what the node asks, what it pledges, and every status of both."""

from collections.abc import Iterator

from dicom_node.config import Settings
from dicom_node.conformance.markdown import heading, paragraph, table
from dicom_node.deliver.commitment import GATHER, STAY
from dicom_node.deliver.commitment_report import GIVE_UP_AFTER
from dicom_node.dimse.commitment import FAILURES, RESPONSES
from dicom_node.ledger.commitments import ATTEMPTS
from dicom_node.ledger.pledges import RECHECK


def service(settings: Settings) -> Iterator[str]:
    """Section 5.5."""
    asked = [peer for peer in settings.destinations if peer.commitment]
    yield from heading(3, "5.5 Storage Commitment Push Model")
    yield from paragraph(
        f"""As SCU: a destination with `commitment = true` is asked {GATHER:g} s after it stored results, several in one
        N-ACTION (no Referenced Performed Procedure Step). The association stays open for {STAY:g} s; a report is taken
        over it, or at any time over one of the destination's. Until a result is committed to, its study is not
        deleted. A result in the Failed SOP Sequence, or left out, is stored again under the same UID and asked about
        again; where no report comes within `commitment_timeout`, it is asked about again under another Transaction
        UID. After {ATTEMPTS} times in vain it has failed; a person may `chexnode retry`. A success that comes later
        still counts."""
    )
    if asked:
        rows = [(f"`{peer.name}`", f"{peer.commitment_timeout:g}") for peer in asked]
        yield from table(("destination that is asked", "deadline for its report, s"), rows)
    yield from paragraph(
        f"""As SCP: a peer with `asks_commitment = true` may ask about what the node received, whoever sent it. The
        report always comes over an association of the node's to the peer's `host` and `port`, in which it proposes
        itself as SCP (role selection); it is sent again until it is taken, for {GIVE_UP_AFTER / 86400:g} days. Before
        it says success the node reads the bytes back and compares their digest; from then on it does not delete the
        instance, unless a destination of its sender's results has committed to keeping it: that is asked for at once,
        and every {RECHECK / 3600:g} h. What such a destination has committed to is a success too. All else is not: not
        the node's own results, and not what was deleted after delivery."""
    )
    asking = [(f"`{peer.name}`", f"{peer.host}:{peer.port}") for peer in settings.peers if peer.asks_commitment]
    if asking:
        yield from table(("peer that may ask", "where it gets its reports"), asking)


def statuses() -> Iterator[str]:
    """Section 7.5."""
    yield from heading(3, "7.5 Statuses and Failure Reasons of Storage Commitment as SCP, and of reports that come")
    yield from table(
        ("status of N-ACTION and N-EVENT-REPORT responses", "when"),
        [(f"{status:04X}", meaning) for status, meaning in RESPONSES.items()],
    )
    yield from table(
        ("Failure Reason (0008,1197) in a report of the node's", "when"),
        [(f"{reason:04X}", meaning) for reason, meaning in FAILURES.items()],
    )
