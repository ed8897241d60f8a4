"""The last look, at dcmtk's archive: what goes out, what waits, what is held; and what the ledger says of each."""

import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node.deliver.circuit import Circuit
from dicom_node.deliver.destination import Outcome, Sendable, Verdict
from dicom_node.deliver.last_look import Fetch, LastLook
from dicom_node.deliver.outbox import Outbox
from dicom_node.deliver.recorder import Recorder
from dicom_node.dimse.association import Timeouts
from dicom_node.errors import Refused
from dicom_node.ledger import lookup, overview
from dicom_node.ledger.lookup import Source
from dicom_node.peer import PeerSection
from dicom_node.query.archive import HeldInstance
from dicom_node.query.dimse import DicomArchive
from tests import datasets
from tests.deliver.node import Node, settings_of
from tests.peers import dcmqrscp, free_port, storescu

NEVER = threading.Event()


class Taking:
    """A destination that takes everything, and knows whether it was called and left in good order."""

    def __init__(self) -> None:
        self.took: list[str] = []
        self.called = 0
        self.left = 0

    def send(self, results: Sequence[Sendable]) -> Generator[Outcome, None, None]:
        self.called += 1
        for result in results:
            self.took.append(result.sop_instance_uid)
            yield Outcome(verdict=Verdict.STORED)
        self.left += 1


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path / "node"))
    yield node
    node.close()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """An archive, empty."""
    with dcmqrscp(tmp_path) as port:
        yield port


def looking(node: Node, port: int, destination: Taking, fetch: Fetch | None = None) -> LastLook:
    peer = PeerSection(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=port)
    archive = DicomArchive(peer, calling="CHEXNODE", timeouts=Timeouts(connect=3, response=3))

    def sources(sop_instance_uid: str) -> Source | None:
        with node.ledger.reading() as tx:
            return lookup.source_of_result(tx, sop_instance_uid)

    return LastLook(destination, archive=archive, sources=sources, fetch=fetch)


def film(node: Node, number: int, **changed: str) -> Dataset:
    """The image that delivery `number` is about, as it came, but for what is `changed`."""
    with node.ledger.reading() as tx:
        studies = overview.studies(tx, limit=100)
    study = sorted(studies, key=lambda each: each.study.study_id)[number]
    made = datasets.chest(
        StudyInstanceUID=study.study.study_instance_uid,
        SOPInstanceUID=study.instances[0].instance.sop_instance_uid,
        PatientID=study.study.patient_id,
        AccessionNumber=study.study.accession_number,
    )
    for keyword, value in changed.items():
        setattr(made, keyword, value)
    return made


def store(port: int, folder: Path, *films: Dataset) -> None:
    files = [datasets.write(each, folder) for each in films]
    assert storescu(port, *files, called="ARCHIVE", options=["-R"]).returncode == 0


def turn(node: Node, look: LastLook) -> float | None:
    section = node.settings.deliver
    with Recorder(node.ledger) as recorder:
        outbox = Outbox(
            "archive",
            look,
            ledger=node.ledger,
            recorder=recorder,
            circuit=Circuit(section, jitter=lambda: 1.0),
            section=section,
            owner="test",
            jitter=lambda: 1.0,
        )
        return outbox.turn(NEVER)


@pytest.mark.peer
def test_what_is_there_goes_out_and_what_is_not_waits_without_keeping_anything_up(
    node: Node, port: int, tmp_path: Path
) -> None:
    node.queue("archive", node.result("1.2.3"))
    there = node.queue("archive", node.result("1.2.4"), node.result("1.2.4"))
    store(port, tmp_path, film(node, 1))
    taking = Taking()
    assert turn(node, looking(node, port, taking)) == 0
    assert taking.took == there
    assert (taking.called, taking.left) == (1, 1)
    first, second, third = node.deliveries()
    assert [each.state.value for each in (first, second, third)] == ["pending", "stored", "stored"]
    assert "does not have its study" in first.last_error
    assert first.not_before > second.not_before


@pytest.mark.peer
def test_nobody_is_called_where_nothing_may_go(node: Node, port: int) -> None:
    node.queue("archive", node.result("1.2.3"))
    taking = Taking()
    turn(node, looking(node, port, taking))
    assert (taking.called, taking.took) == (0, [])


@pytest.mark.peer
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"PatientID": "ANOTHER"}, "another patient"),
        ({"AccessionNumber": "ANOTHER"}, "another accession number"),
        ({"PatientID": "ANOTHER", "AccessionNumber": ""}, "another patient and another accession number"),
    ],
)
def test_what_is_another_patient_s_or_order_s_by_now_is_held(
    node: Node, port: int, tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    node.queue("archive", node.result("1.2.3"))
    store(port, tmp_path, film(node, 0, **changed))
    taking = Taking()
    turn(node, looking(node, port, taking))
    (view,) = node.deliveries()
    assert (view.state.value, taking.took) == ("held", [])
    assert f"its study has {said} in the archive" in view.last_error
    assert "send it to the node from there" in view.last_error
    assert "ANOTHER" not in view.last_error
    assert any(said in reason for reason in node.reasons("delivery"))


@pytest.mark.peer
def test_what_was_changed_is_fetched_once_for_all_of_its_results(node: Node, port: int, tmp_path: Path) -> None:
    node.queue("archive", node.result("1.2.3"), node.result("1.2.3"))
    changed = film(node, 0, PatientID="ANOTHER")
    store(port, tmp_path, changed)
    asked: list[HeldInstance] = []
    turn(node, looking(node, port, Taking(), lambda images: asked.extend(images)))
    assert [(each.series_instance_uid, each.sop_instance_uid) for each in asked] == [
        (changed.SeriesInstanceUID, changed.SOPInstanceUID)
    ]
    assert all("it was fetched" in each.last_error for each in node.deliveries())


@pytest.mark.peer
def test_that_it_cannot_be_fetched_is_said(node: Node, port: int, tmp_path: Path) -> None:
    node.queue("archive", node.result("1.2.3"))
    store(port, tmp_path, film(node, 0, PatientID="ANOTHER"))

    def refuse(images: Sequence[HeldInstance]) -> None:
        raise Refused("C-MOVE with status A801")

    turn(node, looking(node, port, Taking(), refuse))
    (view,) = node.deliveries()
    assert view.state.value == "held"
    assert "C-MOVE with status A801" in view.last_error


@pytest.mark.peer
def test_a_real_archive_that_does_not_know_the_node_moves_nothing(port: int, tmp_path: Path) -> None:
    dataset = datasets.chest(StudyInstanceUID="1.2.3")
    store(port, tmp_path, dataset)
    peer = PeerSection(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=port)
    archive = DicomArchive(peer, calling="CHEXNODE", timeouts=Timeouts(connect=3, response=3))
    (image,) = archive.instances("1.2.3")
    with pytest.raises(Refused, match="A801: does it know CHEXNODE"):
        archive.send([image], to="CHEXNODE")


def test_an_archive_that_cannot_be_asked_gets_nothing(node: Node) -> None:
    node.queue("archive", node.result("1.2.3"))
    taking = Taking()
    assert turn(node, looking(node, free_port(), taking)) > 0
    (view,) = node.deliveries()
    assert (view.state.value, taking.took) == ("pending", [])
    assert "cannot be asked whether it still has the image" in view.last_error
