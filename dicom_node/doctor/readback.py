"""What a destination says that it has of the test study, what it gives back, and whether it can draw it."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.config import PeerSection, Settings
from dicom_node.deliver.dicom import wanted_syntaxes
from dicom_node.dimse.association import Timeouts
from dicom_node.doctor import specimen
from dicom_node.doctor.check import Check, Health, failed, ok, warning
from dicom_node.doctor.comparison import difference
from dicom_node.doctor.specimen import Specimen
from dicom_node.domain import Kind
from dicom_node.errors import ConfigurationError, PeerUnavailable, Refused
from dicom_node.query.archive import Archive, HeldInstance
from dicom_node.query.dimse import DicomArchive
from dicom_node.query.web import WebArchive

#: seconds that an archive may take to know what it has just stored, and between two questions
PATIENCE, PAUSE = 15.0, 0.5

_OUR_ERRORS = (PeerUnavailable, Refused, ConfigurationError)


class ReadBack:
    """The second half of a trial: of what `stored` became."""

    def __init__(self, settings: Settings, peer: PeerSection, stored: Sequence[Specimen]) -> None:
        self.settings = settings
        self.peer = peer
        self._stored = stored
        #: objects that came back and were looked at
        self._compared = 0
        section = settings.deliver
        self._timeouts = Timeouts(connect=section.connect_timeout, response=section.response_timeout)

    def checks(self) -> Iterator[Check]:
        """By each way in which it may be asked."""
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

    def _syntaxes(self, each: Specimen) -> tuple[str, ...]:
        """Those that it is offered in."""
        return wanted_syntaxes(each.kind, each.profile, each.transfer_syntax_uid, compress=self.peer.compress)

    def _look_yourself(self) -> str:
        return f"ask its people to look: study of {specimen.PATIENT_NAME}, {len(self._stored)} objects"

    def _found(self, how: str, archive: Archive) -> tuple[Check, dict[str, HeldInstance]]:
        """Whether it says that it has all that it stored; what it has, by SOP Instance UID."""
        wanted = {each.sop_instance_uid: each.name for each in self._stored}
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
        what = f"{how} {sent.name}"
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
