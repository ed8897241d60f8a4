"""A real ledger, a real spool, and images that arrive in them as the receiver would enter them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node.analyse.examine import Examiner
from dicom_node.config import Settings
from dicom_node.domain import Arrival, Head
from dicom_node.ledger import Ledger, instances, url_for
from dicom_node.ledger.instances import Recorded
from dicom_node.parameters import parameters_digest
from dicom_node.peer import PeerSection
from dicom_node.sections import AnalyseSection, NodeSection, SelectSection
from dicom_node.spool import Spool
from tests import datasets
from tests.analyse.bench import Bench


def settings_in(folder: Path, *, peers: tuple[PeerSection, ...] = (), **analyse: object) -> Settings:
    """A node with one destination, and `peers`; its children may have little of anything."""
    return Settings(
        node=NodeSection(folder=folder),
        analyse=AnalyseSection.model_validate(
            {"decode_timeout": 120, "decode_cpu_seconds": 1, "decode_memory": 512 << 20} | analyse
        ),
        peers=(
            PeerSection(name="pacs", ae_title="PACS", host="127.0.0.1", sends=True, results_to=("pacs",), mode="hold"),
            *peers,
        ),
    )


@dataclass(frozen=True)
class Node:
    """What the rooms share."""

    settings: Settings
    ledger: Ledger
    spool: Spool

    def arrive(self, dataset: Dataset, *, now: float = 1_741_082_400.0, calling: str = "PACS") -> Recorded:
        """Enter a data set as the receiver does."""
        return self.arrive_bytes(datasets.file_bytes(dataset), dataset, now=now, calling=calling)

    def arrive_bytes(
        self, octets: bytes, dataset: Dataset, *, now: float = 1_741_082_400.0, calling: str = "PACS"
    ) -> Recorded:
        """Enter a file that says it holds `dataset`."""
        key = self.spool.put(octets)
        arrival = Arrival(
            head=Head(
                sop_class_uid=dataset.SOPClassUID,
                sop_instance_uid=dataset.SOPInstanceUID,
                study_instance_uid=dataset.StudyInstanceUID,
                accession_number=str(dataset.get("AccessionNumber", "")),
                patient_id=str(dataset.get("PatientID", "")),
                issuer_of_patient_id=str(dataset.get("IssuerOfPatientID", "")),
            ),
            transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
            digest=hashlib.sha256(octets).hexdigest(),
            size=len(octets),
            calling_ae_title=calling,
            spool_key=key,
            received_at=now,
        )
        with self.ledger.transaction() as tx:
            return instances.record(tx, arrival, parameters=parameters_digest(self.settings, calling), now=now)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    settings = settings_in(tmp_path / "node")
    Ledger.migrate(url_for(settings.node))
    ledger = Ledger.for_settings(settings.node)
    yield Node(settings=settings, ledger=ledger, spool=Spool(settings.node.folder / "spool"))
    ledger.close()


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner[int]]:
    """Children that serve a module's tests: they take a second to start."""
    limits = settings_in(tmp_path_factory.mktemp("none")).analyse
    with Examiner[int](limits, SelectSection()) as examiner:
        yield examiner


@pytest.fixture
def bench(node: Node, examiner: Examiner[int]) -> Iterator[Bench]:
    """A worker on `node`."""
    bench = Bench(node, examiner)
    yield bench
    examiner.abandon()


def with_lesion(**attributes: object) -> Dataset:
    """A chest with one bright square of 12 × 10 pixels, its upper left corner at row 20, column 14."""
    dataset = datasets.chest(100, 90, **attributes)
    pixels = datasets.film(100, 90)
    pixels[20:32, 14:24] = 4095
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
    return dataset
