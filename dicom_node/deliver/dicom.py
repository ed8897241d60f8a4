"""The DICOM kind of destination: C-STORE of the frozen bytes (PS3.4 Annex B)."""

from collections.abc import Generator, Sequence

from dicom_node.deliver.destination import Outcome, Verdict
from dicom_node.deliver.syntax import alternatives, in_syntax
from dicom_node.dimse.association import OpenAssociation, Timeouts, open_association
from dicom_node.dimse.contexts import proposed_contexts
from dicom_node.dimse.status import is_stored
from dicom_node.errors import NothingAccepted, PeerUnavailable, Refused, StorageFault, Unreadable
from dicom_node.ledger.rows import StoredResult
from dicom_node.sections import PeerSection
from dicom_node.spool import Spool

#: PS3.7 Annex C: a SOP Instance that is there already. Ours never change, so what is there is this one
_DUPLICATE = 0x0111
#: refused for good: SOP class not supported, instance conflicts with its class, no such class, not authorised
_HOPELESS = frozenset({0x0117, 0x0118, 0x0119, 0x0122, 0x0124})
#: first digits of the statuses that PS3.4 Table B.2-1 has for a data set that will never do
_HOPELESS_RANGES = ((0xFF00, 0xA900), (0xF000, 0xC000))


class DicomDestination:
    """One peer that takes results by C-STORE."""

    def __init__(self, peer: PeerSection, *, calling: str, timeouts: Timeouts, spool: Spool) -> None:
        self._peer = peer
        self._calling = calling
        self._timeouts = timeouts
        self._spool = spool

    def send(self, results: Sequence[StoredResult]) -> Generator[Outcome, None, None]:
        """See Destination.send: one association for all of `results`, as far as it holds."""
        contexts = proposed_contexts(
            (result.sop_class_uid, syntax) for result in results for syntax in alternatives(result.transfer_syntax_uid)
        )
        known = 0
        reached = False
        try:
            with open_association(
                self._peer.host,
                self._peer.port,
                called=self._peer.ae_title,
                calling=self._calling,
                contexts=contexts,
                timeouts=self._timeouts,
            ) as opened:
                reached = True
                for result in results:
                    outcome = self._store(opened, result)
                    known += 1
                    yield outcome
        except NothingAccepted as error:
            yield from (Outcome(verdict=Verdict.REFUSED, detail=str(error)) for _ in results)
        except (PeerUnavailable, Refused) as error:
            # a rejected association is somebody's configuration: nothing is wrong with the results, so they wait
            broken = Outcome(verdict=Verdict.RETRY, detail=str(error))
            untried = Outcome(verdict=Verdict.UNTRIED, detail="the connection ended before its turn")
            for position in range(known, len(results)):
                yield untried if reached and position > known else broken

    def _store(self, opened: OpenAssociation, result: StoredResult) -> Outcome:
        """Raises PeerUnavailable: the association is over."""
        syntax = next(
            (uid for uid in alternatives(result.transfer_syntax_uid) if opened.accepts(result.sop_class_uid, uid)),
            None,
        )
        if syntax is None:
            detail = f"it does not accept SOP class {result.sop_class_uid} in any transfer syntax that loses nothing"
            return Outcome(verdict=Verdict.REFUSED, detail=detail)
        try:
            file = self._spool.read(result.spool_key)
            answer = opened.store(file if syntax == result.transfer_syntax_uid else in_syntax(file, syntax))
        except StorageFault as error:
            return Outcome(verdict=Verdict.RETRY, detail=str(error))
        except Unreadable as error:
            return Outcome(verdict=Verdict.REFUSED, detail=f"its bytes in the spool are damaged: {error}")
        return judge(answer.status)


def judge(status: int) -> Outcome:
    """What a C-STORE status means for a delivery (PS3.4 Table B.2-1, PS3.7 Annex C).

    Whatever is not known to be hopeless is tried again. The peer's Error Comment is left out: peers quote patients.
    """
    said = f"it answered with status {status:04X}"
    if is_stored(status):
        return Outcome(verdict=Verdict.STORED, detail=said if status else "")
    if status == _DUPLICATE:
        return Outcome(verdict=Verdict.STORED, detail=f"it has it already ({status:04X})")
    if status in _HOPELESS or any(status & mask == value for mask, value in _HOPELESS_RANGES):
        return Outcome(verdict=Verdict.REFUSED, detail=f"{said}: see its log, then `chexnode retry`")
    return Outcome(verdict=Verdict.RETRY, detail=said)
