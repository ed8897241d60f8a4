"""A destination tried before use: asked, offered everything, sent a marked test study, read back and compared."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage

from dicom_node.config import PeerSection, Settings
from dicom_node.deliver.destination import Verdict
from dicom_node.deliver.dicom import wanted_syntaxes
from dicom_node.deliver.kinds import destination_of
from dicom_node.dimse.association import Timeouts
from dicom_node.dimse.contexts import proposed_contexts
from dicom_node.dimse.peers import echo_peer, open_peer
from dicom_node.doctor import peers, specimen
from dicom_node.doctor.check import Check, Health, failed, ok, warning
from dicom_node.doctor.comparison import difference
from dicom_node.doctor.specimen import Specimen
from dicom_node.domain import Kind, Profile
from dicom_node.errors import ConfigurationError, NotFound, NothingAccepted, PeerUnavailable, Refused
from dicom_node.query.archive import Archive, HeldInstance
from dicom_node.query.dimse import DicomArchive
from dicom_node.query.web import WebArchive
from dicom_node.sections import Transport
from dicom_node.spool import Spool
from model.contract import Manifest

#: seconds that an archive may take to know what it has just stored, and between two questions
PATIENCE, PAUSE = 15.0, 0.5

#: what a destination loses that takes no images
_NO_IMAGE = "the node sends results only: that is well where images come from elsewhere; here the objects lack theirs"

_OUR_ERRORS = (PeerUnavailable, Refused, ConfigurationError)


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
        #: objects that came back and were looked at
        self._compared = 0
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
            what = f"store {name_of(each)}"
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
        if not self._stored:
            return
        if self.peer.host:
            archive = DicomArchive(
                self.peer, calling=self.settings.node.ae_title, timeouts=self._timeouts, tls=self.settings.tls
            )
            found, _ = self._found("C-FIND", archive)
            yield found
            if found.health is Health.OK:
                for each in self._stored:
                    yield self._compare("C-GET", each, partial(archive.retrieve, _where(each), self._syntaxes(each)))
        if self.peer.dicomweb_url:
            web = WebArchive(
                self.peer, connect_timeout=self._timeouts.connect, response_timeout=self._timeouts.response
            )
            found, held = self._found("QIDO-RS", web)
            yield found
            for each in self._stored:
                where = held.get(each.sop_instance_uid) or _where(each)
                yield self._compare("WADO-RS", each, partial(web.retrieve, where))
            yield from self._drawn(web)
        if not self._compared:
            said = "nothing was given back (C-GET, WADO-RS): what it holds was not compared"
            yield warning("read back", said, f"give its dicomweb_url, or {self._look_yourself()}")

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

    def _syntaxes(self, each: Specimen) -> tuple[str, ...]:
        """Those that it is offered in."""
        return wanted_syntaxes(each.kind, each.profile, each.transfer_syntax_uid, compress=self.peer.compress)

    def _look_yourself(self) -> str:
        return f"ask its people to look: study of {specimen.PATIENT_NAME}, {len(self._stored)} objects"

    def _found(self, how: str, archive: Archive) -> tuple[Check, dict[str, HeldInstance]]:
        """Whether it says that it has all that it stored; what it has, by SOP Instance UID."""
        wanted = {each.sop_instance_uid: name_of(each) for each in self._stored}
        held: dict[str, HeldInstance] = {}

        def complete() -> bool:
            held.update((one.sop_instance_uid, one) for one in archive.instances(specimen.STUDY_INSTANCE_UID))
            return wanted.keys() <= held.keys()

        try:
            there = _wait_for(complete)
        except Refused as error:
            return warning(how, f"not offered: {error}", self._look_yourself()), held
        except _OUR_ERRORS as error:
            return failed(how, str(error), self._look_yourself()), held
        if there:
            return ok(how, f"all {len(wanted)} objects are found"), held
        missing = ", ".join(name for uid, name in wanted.items() if uid not in held)
        said = f"{len(wanted.keys() & held.keys())} of {len(wanted)} objects are found after {PATIENCE:.0f} s"
        return failed(how, f"{said}; missing: {missing}", "ask its people: quarantined, or not indexed yet?"), held

    def _drawn(self, web: WebArchive) -> Iterator[Check]:
        """Whether it can draw our picture: some archives take transfer syntaxes that they cannot decode."""
        by_kind = {each.kind: each for each in self._stored}
        if None not in by_kind or Kind.SC not in by_kind:
            return
        try:
            web.rendered(_where(by_kind[None]))
        except _OUR_ERRORS:
            return  # it draws nothing for others, and that is all there is to say
        try:
            web.rendered(_where(by_kind[Kind.SC]))
        except _OUR_ERRORS as error:
            said = f"it draws the image, but not the Secondary Capture in the transfer syntax that it took: {error}"
            advice = "viewers may show nothing: set compress = false, have the test study deleted, and try again"
            yield warning("draw SC", said, advice)
        else:
            yield ok("draw SC", "it draws the Secondary Capture itself (rendered)")

    def _compare(self, how: str, sent: Specimen, retrieve: Callable[[], Dataset]) -> Check:
        what = f"{how} {name_of(sent)}"
        try:
            found = difference(sent.data, retrieve())
        except Refused as error:
            return warning(what, f"not given back: {error}", "ask its people to look at it")
        except _OUR_ERRORS as error:
            return failed(what, str(error), "ask its people to look at it")
        except (ValueError, NotImplementedError, InvalidDicomError) as error:
            said = f"comes back as what cannot be read ({type(error).__name__})"
            return failed(what, said, "it must not be used until it gives back DICOM")
        self._compared += 1
        if found.spoilt:
            return failed(what, f"comes back changed: {found.spoilt}", "it must not be used until it keeps this")
        if found.changed:
            return warning(what, f"pixels and references are the same; it changed {found.changed}", "is that wanted?")
        return ok(what, "comes back identical")


def destination_called(name: str, settings: Settings) -> PeerSection:
    """Raises NotFound, naming those that there are."""
    for peer in settings.destinations:
        if peer.name == name:
            return peer
    known = ", ".join(peer.name for peer in settings.destinations) or "none"
    raise NotFound(f"no destination is called {name}; there are: {known}. A destination is a peer with a mode")


def name_of(each: Specimen) -> str:
    """'SEG', 'SR', 'image'."""
    return "image" if each.kind is None else each.kind.value.upper()


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


def _where(each: Specimen) -> HeldInstance:
    return HeldInstance(
        study_instance_uid=specimen.STUDY_INSTANCE_UID,
        series_instance_uid=each.series_instance_uid,
        sop_instance_uid=each.sop_instance_uid,
        sop_class_uid=each.sop_class_uid,
    )


def _wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
    return True
