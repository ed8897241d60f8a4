"""A node in this process, from its port to its destinations: real associations both ways, a real ledger and spool."""

import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from dicom_node.analyse.examine import Examiner
from dicom_node.cli.reference import toml
from dicom_node.conclude.report import Reporter
from dicom_node.conclude.role import look
from dicom_node.config import Settings
from dicom_node.deliver.circuit import Circuit
from dicom_node.deliver.kinds import destination_of
from dicom_node.deliver.outbox import Outbox
from dicom_node.deliver.recorder import Recorder
from dicom_node.domain import Mode
from dicom_node.ledger import deliveries
from dicom_node.parameters import parameters_by_source, parameters_digest
from dicom_node.peer import PeerSection
from dicom_node.receive.intake import Intake
from dicom_node.receive.scp import StoreSCP
from dicom_node.sections import ReceiveSection
from model.contract import Manifest
from tests.analyse.conftest import settings_in
from tests.conclude.reporting import QUIET, Desk
from tests.deliver.archives import Archive
from tests.peers import association

RESULTS = (
    SegmentationStorage,
    SecondaryCaptureImageStorage,
    ComprehensiveSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
)
NOTES = KeyObjectSelectionDocumentStorage


def archive(*, takes_notes: bool = True) -> Archive:
    """A destination that takes every result, and rejection notes or not."""
    return Archive(classes=[*map(str, RESULTS), *([str(NOTES)] if takes_notes else [])])


def life_settings(
    folder: Path, *sources: PeerSection, modes: dict[str, str] | None = None, **archives: tuple[Archive, str]
) -> Settings:
    """A node to which PACS and `sources` send, with a destination of a profile for each of `archives`."""
    destinations = tuple(
        PeerSection.model_validate(
            {
                "name": name,
                "ae_title": "ARCHIVE",
                "host": "127.0.0.1",
                "port": place.port,
                "mode": (modes or {}).get(name, "send"),
                "profile": profile,
            }
        )
        for name, (place, profile) in archives.items()
    )
    pacs = PeerSection(name="pacs", ae_title="PACS", sends=True, allow_from=("127.0.0.1",), results_to=tuple(archives))
    settings = settings_in(folder)
    # its hours are years ago: by the clock of the outbox everything would come too late
    deliver = settings.deliver.model_copy(update={"deliver_within": 0})
    return settings.model_copy(update={"peers": (pacs, *sources, *destinations), "deliver": deliver})


class Life(Desk):
    """A node whose hours pass when a test says so."""

    def __init__(self, settings: Settings, examiner: Examiner[int]) -> None:
        super().__init__(settings, examiner)
        self._listen()

    def _listen(self) -> None:
        intake = Intake(
            self.spool,
            self.ledger,
            parameters=parameters_digest(self.settings),
            parameters_by_source=parameters_by_source(self.settings),
            low_watermark=0,
            max_object_size=1 << 30,
            clock=lambda: self.now,
        )
        self._scp = StoreSCP(
            intake, ReceiveSection(port=0, low_watermark=0), peers=self.settings.peers, ae_title="CHEXNODE"
        )
        self._scp.start()

    @property
    def port(self) -> int:
        """Where the node listens."""
        return self._scp.port

    def close(self) -> None:
        self._scp.close(drain=1)
        super().close()

    def store(self, *datasets: Dataset, calling: str = "PACS") -> list[int]:
        """Send data sets to the node by C-STORE; the statuses that it answered with."""
        contexts = [(str(dataset.SOPClassUID), ExplicitVRLittleEndian) for dataset in datasets]
        with association(self._scp.port, *contexts, calling=calling) as opened:
            assert opened.is_established
            return [opened.send_c_store(dataset).Status for dataset in datasets]

    def work(self) -> None:
        """All that is queued is analysed."""
        self.bench.now = self.now
        self.bench.work()

    def pass_time(self, seconds: float = QUIET + 1) -> None:
        """Hours later the conclude role looks, as often as there is something to do."""
        for _ in range(3):
            self.now += seconds
            look(self.ledger, self.settings, self.reporter, self.spool, now=self.now)

    def deliver(self) -> None:
        """What is pending is sent, over real associations, until nothing is due."""
        for peer in self.settings.destinations:
            if peer.mode is Mode.OFF:
                continue
            destination = destination_of(peer, calling="CHEXNODE", section=self.settings.deliver, spool=self.spool)
            with Recorder(self.ledger) as recorder:
                outbox = Outbox(
                    peer.name,
                    destination,
                    ledger=self.ledger,
                    recorder=recorder,
                    circuit=Circuit(self.settings.deliver),
                    section=self.settings.deliver,
                    owner="life",
                    only_released=peer.mode is Mode.HOLD,
                )
                while self._pending(peer.name):
                    if outbox.turn(threading.Event()):
                        break

    def run(self) -> None:
        """Analyse, conclude, deliver."""
        self.work()
        self.pass_time()
        self.deliver()

    def restart(self, settings: Settings, manifest: Manifest | None = None) -> None:
        """The node starts anew with other settings, or another model."""
        self._scp.close(drain=1)
        self.settings = settings
        self.reporter = Reporter(self.ledger, self.spool, settings.results)
        self.bench.start(settings, manifest or self.bench.predictor.manifest)
        self._listen()

    def _pending(self, destination: str) -> bool:
        with self.ledger.reading() as tx:
            return deliveries.next_due(tx, destination) is not None


def kept(place: Archive, sop_class: str | None = None) -> list[Dataset]:
    """What an archive took, in that order; of one class if given."""
    found = []
    for octets, syntax in place.kept.values():
        uid = UID(syntax)
        dataset = read_dataset(BytesIO(octets), uid.is_implicit_VR, uid.is_little_endian)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = uid
        if sop_class in (None, dataset.SOPClassUID):
            found.append(dataset)
    return found


def notes(place: Archive) -> Iterator[tuple[str, set[str]]]:
    """Each rejection note that an archive took: the code of its title, and what it names."""
    for note in kept(place, str(NOTES)):
        named = {
            item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            for item in note.ContentSequence
            if "ReferencedSOPSequence" in item
        }
        yield note.ConceptNameCodeSequence[0].CodeValue, named


def evidence(document: Dataset) -> set[str]:
    """SOP Instance UIDs that a report or a note refers to."""
    return {
        str(instance.ReferencedSOPInstanceUID)
        for study in document.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


def written(settings: Settings, file: Path) -> Path:
    """The settings as a configuration file, for the command line."""
    plain = settings.model_dump(mode="json", exclude_none=True)
    peers = plain.pop("peers")
    lines = []
    for heading, values in [
        *((f"[{name}]", section) for name, section in plain.items()),
        *(("[[peers]]", p) for p in peers),
    ]:
        lines += [heading, *(f"{key} = {toml(value)}" for key, value in values.items())]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file
