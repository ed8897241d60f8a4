"""A destination tried before use: asked, offered everything, sent a marked test study, read back and compared."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pydicom.uid import UID, ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage

from dicom_node.config import PeerSection, Settings
from dicom_node.deliver.destination import Verdict
from dicom_node.deliver.dicom import wanted_syntaxes
from dicom_node.deliver.kinds import destination_of
from dicom_node.dimse.association import Timeouts
from dicom_node.dimse.contexts import proposed_contexts
from dicom_node.dimse.peers import echo_peer, open_peer
from dicom_node.doctor import peers, specimen
from dicom_node.doctor.check import Check, failed, ok, warning
from dicom_node.doctor.readback import ReadBack
from dicom_node.doctor.specimen import Specimen
from dicom_node.domain import Kind, Profile
from dicom_node.errors import NotFound, NothingAccepted, PeerUnavailable, Refused
from dicom_node.peer import Transport
from dicom_node.spool import Spool
from model.contract import Manifest

#: what a destination loses that takes no images
_NO_IMAGE = "the node sends results only: that is well where images come from elsewhere; here the objects lack theirs"


@dataclass(frozen=True, kw_only=True)
class _Sent:
    """A Sendable: one specimen whose bytes lie in the spool."""

    kind: Kind | None
    profile: Profile
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    spool_key: str


@dataclass(frozen=True, kw_only=True)
class Negotiated:
    """One SOP class, and whether the destination takes it in each transfer syntax that it would be offered in."""

    sop_class_uid: str
    #: by transfer syntax UID, the most wanted first
    accepted: Mapping[str, bool]


class Handshake:
    """One destination's trial; its three parts in their order. A context manager: it has a folder of its own."""

    def __init__(self, settings: Settings, peer: PeerSection, manifest: Manifest) -> None:
        self.settings = settings
        self.peer = peer
        self.specimens = specimen.specimens(peer.profile, settings, manifest)
        #: known after look()
        self.negotiated: list[Negotiated] = []
        self._stored: list[Specimen] = []
        self._folder = tempfile.TemporaryDirectory(prefix="chexnode-handshake-")
        section = settings.deliver
        self._timeouts = Timeouts(connect=section.connect_timeout, response=section.response_timeout)

    def __enter__(self) -> "Handshake":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def look(self) -> Iterator[Check]:
        """Whether it answers, and what it would take. Nothing is stored."""
        if self.peer.transport is Transport.C_STORE:
            yield self._echo()
            yield from self._negotiate()
        if self.peer.dicomweb_url:
            yield peers.web(self.peer, self.settings)

    def send(self) -> Iterator[Check]:
        """The test study, object by object, as results are sent."""
        spool = Spool(Path(self._folder.name))
        sent = [_in_spool(each, spool) for each in self.specimens]
        section = self.settings.deliver
        destination = destination_of(
            self.peer, calling=self.settings.node.ae_title, section=section, spool=spool, tls=self.settings.tls
        )
        for each, outcome in zip(self.specimens, destination.send(sent), strict=True):
            what = f"store {each.name}"
            if outcome.verdict is Verdict.STORED:
                self._stored.append(each)
                yield ok(what, outcome.detail or "stored")
            elif each.kind is None and outcome.verdict is Verdict.REFUSED:
                yield warning(what, outcome.detail, _NO_IMAGE)
            else:
                untried = outcome.verdict is Verdict.UNTRIED
                advice = "mend what failed before it" if untried else "results of this kind would not arrive"
                yield failed(what, outcome.detail, advice)

    def read_back(self) -> Iterator[Check]:
        """What it says that it has, by each way in which it may be asked, and what it gives back."""
        if self._stored:
            yield from ReadBack(self.settings, self.peer, self._stored).checks()

    def _echo(self) -> Check:
        try:
            took = echo_peer(
                self.peer, calling=self.settings.node.ae_title, tls=self.settings.tls, timeouts=self._timeouts
            )
        except PeerUnavailable as error:
            return failed("C-ECHO", str(error), "nothing can be sent until it answers; check host and port")
        except NothingAccepted as error:
            return warning("C-ECHO", str(error), "it offers no Verification, which the standard wants of every AE")
        except Refused as error:
            return failed("C-ECHO", str(error), "nothing can be sent until it lets us in; check both AE titles")
        return ok("C-ECHO", f"answered in {took * 1000:.0f} ms")

    def _negotiate(self) -> Iterator[Check]:
        wanted: dict[str, dict[str, bool]] = {}
        for kind, sop_class, kept in self._classes():
            offered = wanted_syntaxes(kind, self.peer.profile, kept, compress=self.peer.compress)
            wanted.setdefault(sop_class, dict.fromkeys(offered, False))
        contexts = proposed_contexts((sop_class, syntax) for sop_class, by in wanted.items() for syntax in by)
        try:
            with open_peer(
                self.peer,
                calling=self.settings.node.ae_title,
                contexts=contexts,
                tls=self.settings.tls,
                timeouts=self._timeouts,
            ) as opened:
                for sop_class, by in wanted.items():
                    by.update((syntax, opened.accepts(sop_class, syntax)) for syntax in by)
        except NothingAccepted:
            pass  # each class says so below
        except (PeerUnavailable, Refused) as error:
            yield failed("negotiate", str(error), "nothing can be sent; check host, port and both AE titles")
            return
        names = {sop_class: "image" if kind is None else kind.value.upper() for kind, sop_class, _ in self._classes()}
        for sop_class, by in wanted.items():
            self.negotiated.append(Negotiated(sop_class_uid=sop_class, accepted=by))
            yield _accepted(names[sop_class], sop_class, by)

    def _classes(self) -> Iterator[tuple[Kind | None, str, str]]:
        """Kind, SOP class and transfer syntax of all that it may be sent; a note that withdraws is never tried out."""
        for each in self.specimens:
            yield each.kind, each.sop_class_uid, each.transfer_syntax_uid
        yield Kind.KOS, str(KeyObjectSelectionDocumentStorage), str(ExplicitVRLittleEndian)


def destination_called(name: str, settings: Settings) -> PeerSection:
    """Raises NotFound, naming those that there are."""
    for peer in settings.destinations:
        if peer.name == name:
            return peer
    known = ", ".join(peer.name for peer in settings.destinations) or "none"
    raise NotFound(f"no destination is called {name}; there are: {known}. A destination is a peer with a mode")


def _accepted(name: str, sop_class: str, by: Mapping[str, bool]) -> Check:
    """What became of one SOP class in negotiation."""
    what = f"negotiate {name}"
    if taken := [UID(uid).name for uid, yes in by.items() if yes]:
        return ok(what, f"{UID(sop_class).name} in {', '.join(taken)}")
    said = f"{UID(sop_class).name} ({sop_class}) is refused in every lossless transfer syntax"
    if name == "image":
        return warning(what, said, _NO_IMAGE)
    if sop_class == KeyObjectSelectionDocumentStorage:
        return warning(what, said, "`chexnode recall` cannot withdraw results there by a rejection note")
    return failed(what, said, "enable it there for our AE title, or choose another profile")


def _in_spool(each: Specimen, spool: Spool) -> _Sent:
    return _Sent(
        kind=each.kind,
        profile=each.profile,
        sop_class_uid=each.sop_class_uid,
        sop_instance_uid=each.sop_instance_uid,
        transfer_syntax_uid=each.transfer_syntax_uid,
        spool_key=spool.put(each.data),
    )
