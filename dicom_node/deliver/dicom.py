"""The DICOM kind of destination: C-STORE of the frozen bytes (PS3.4 Annex B)."""

import contextlib
from collections.abc import Generator, Sequence
from pathlib import Path

from pydicom.errors import InvalidDicomError

from dicom_node.deliver.destination import Outcome, Sendable, Verdict
from dicom_node.deliver.statuses import judge
from dicom_node.deliver.syntax import UNCOMPRESSED, alternatives, in_syntax
from dicom_node.dimse.association import OpenAssociation, Timeouts
from dicom_node.dimse.contexts import proposed_contexts
from dicom_node.dimse.peers import open_peer
from dicom_node.domain import Kind, Profile
from dicom_node.encode.profiles import PROFILES
from dicom_node.errors import NothingAccepted, PeerUnavailable, Refused, StorageFault, Unreadable
from dicom_node.peer import PeerSection
from dicom_node.security import TLSSection
from dicom_node.spool import Spool


class _DoesNotFit(Exception):
    """No transfer syntax that the peer takes holds an object."""


class DicomDestination:
    """One peer that takes results by C-STORE."""

    def __init__(
        self, peer: PeerSection, *, calling: str, timeouts: Timeouts, spool: Spool, tls: TLSSection | None = None
    ) -> None:
        self._tls = tls or TLSSection()
        self._peer = peer
        self._calling = calling
        self._timeouts = timeouts
        self._spool = spool

    def send(self, results: Sequence[Sendable]) -> Generator[Outcome, None, None]:
        """See Destination.send: one association for all of `results`, as far as it holds."""
        contexts = proposed_contexts(
            (result.sop_class_uid, syntax) for result in results for syntax in self._syntaxes(result)
        )
        known = 0
        reached = False
        try:
            with open_peer(
                self._peer, calling=self._calling, contexts=contexts, tls=self._tls, timeouts=self._timeouts
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
            broken = Outcome(verdict=Verdict.RETRY, detail=str(error), unreached=not reached)
            untried = Outcome(verdict=Verdict.UNTRIED, detail="the connection ended before its turn")
            for position in range(known, len(results)):
                yield untried if reached and position > known else broken

    def _syntaxes(self, result: Sendable) -> tuple[str, ...]:
        kept = result.transfer_syntax_uid
        return wanted_syntaxes(result.kind, result.profile, kept, compress=self._peer.compress)

    def _store(self, opened: OpenAssociation, result: Sendable) -> Outcome:
        """Raises PeerUnavailable: the association is over."""
        accepted = [uid for uid in self._syntaxes(result) if opened.accepts(result.sop_class_uid, uid)]
        if not accepted:
            detail = f"it does not accept SOP class {result.sop_class_uid} in any transfer syntax that loses nothing"
            return Outcome(verdict=Verdict.REFUSED, detail=detail)
        try:
            answer = opened.store(self._source(result, accepted))
        except _DoesNotFit:
            detail = "it accepts compressed transfer syntaxes only, and none of those holds this object"
            return Outcome(verdict=Verdict.REFUSED, detail=detail)
        except StorageFault as error:
            return Outcome(verdict=Verdict.RETRY, detail=str(error))
        except OSError as error:
            return Outcome(verdict=Verdict.RETRY, detail=f"reading it from the spool failed: {error.strerror or error}")
        except Unreadable as error:
            return Outcome(verdict=Verdict.REFUSED, detail=f"its bytes in the spool are damaged: {error}")
        return judge(answer.status)

    def _source(self, result: Sendable, accepted: Sequence[str]) -> Path | bytes:
        """What goes out: the file as it stands, or its bytes in the first of `accepted` that its pixels fit in.

        Raises StorageFault, _DoesNotFit.
        """
        if accepted[0] == result.transfer_syntax_uid:
            return self._spool.path(result.spool_key)
        file = _encoded(self._spool.read(result.spool_key), accepted, kept=result.transfer_syntax_uid)
        if file is None:
            raise _DoesNotFit
        return file


def wanted_syntaxes(kind: Kind | None, profile: Profile, kept: str, *, compress: bool) -> tuple[str, ...]:
    """The transfer syntaxes that an object kept in `kept` is offered in, the most wanted first."""
    smaller = PROFILES[profile].sc_syntaxes if compress and kind is Kind.SC else ()
    return alternatives(kept, smaller)


def _encoded(file: bytes, syntaxes: Sequence[str], *, kept: str) -> bytes | None:
    """`file` in the first of `syntaxes` that its pixels fit in; None: in none.

    A compressed one cannot hold all pixels, and noise gets larger in it: then the next one is taken.
    """
    larger: bytes | None = None
    for syntax in syntaxes:
        if syntax == kept:
            return file
        # a damaged file is sent as it is, and then refused for what it is
        with contextlib.suppress(ValueError, AttributeError, InvalidDicomError):
            encoded = in_syntax(file, syntax)
            if syntax in UNCOMPRESSED or len(encoded) < len(file):
                return encoded
            larger = larger or encoded
    return larger
