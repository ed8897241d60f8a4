"""C-FIND at real archives: dcmtk's dcmqrscp, one that only stores, and some that misbehave."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from dicom_node.dimse.association import Timeouts, open_association
from dicom_node.dimse.contexts import query_contexts
from dicom_node.errors import PeerUnavailable, Refused
from dicom_node.peer import PeerSection
from dicom_node.query.archive import HeldInstance
from dicom_node.query.dimse import DicomArchive
from tests import datasets
from tests.peers import dcmqrscp, free_port, storescp, storescu

STUDY = "1.2.3.4"


def archive(port: int, *, ae_title: str = "ARCHIVE") -> DicomArchive:
    section = PeerSection(name="archive", ae_title=ae_title, host="127.0.0.1", port=port)
    return DicomArchive(section, calling="CHEXNODE", timeouts=Timeouts(connect=3, response=3))


@pytest.mark.peer
def test_every_instance_of_a_study_and_no_other(tmp_path: Path) -> None:
    wanted, files = [], []
    for series in (generate_uid(), generate_uid()):
        for number in range(2):
            dataset = datasets.chest(StudyInstanceUID=STUDY, SeriesInstanceUID=series, InstanceNumber=number)
            wanted.append((str(series), str(dataset.SOPInstanceUID)))
            files.append(datasets.write(dataset, tmp_path))
    files.append(datasets.write(datasets.chest(StudyInstanceUID="1.2.5"), tmp_path))
    with dcmqrscp(tmp_path) as port:
        assert storescu(port, *files, called="ARCHIVE", options=["-R"]).returncode == 0
        found = archive(port).instances(STUDY)
        assert archive(port).instances("1.2.3.9") == ()
    assert sorted((one.series_instance_uid, one.sop_instance_uid) for one in found) == sorted(wanted)
    assert {one.study_instance_uid for one in found} == {STUDY}


@pytest.mark.peer
def test_who_only_stores_cannot_be_asked(tmp_path: Path) -> None:
    with storescp(tmp_path / "got", called="ARCHIVE") as (port, _), pytest.raises(Refused, match="none of the"):
        archive(port).instances(STUDY)


@contextlib.contextmanager
def finder(*statuses: tuple[int, Dataset | None], sop_class: str | None = None) -> Iterator[int]:
    """A pynetdicom SCP that answers every C-FIND with `statuses`."""

    def find(event: Event) -> Iterator[tuple[int, Dataset | None]]:
        yield from statuses

    ae = AE("ARCHIVE")
    ae.add_supported_context(sop_class or StudyRootQueryRetrieveInformationModelFind)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find)])
    assert server is not None
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def match(**values: str) -> Dataset:
    found = Dataset()
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


def test_a_failure_is_said() -> None:
    with finder((0xA700, None)) as port, pytest.raises(Refused, match="C-FIND with status A700"):
        archive(port).instances(STUDY)


def test_matches_that_do_not_name_what_they_are_say_nothing() -> None:
    statuses: Sequence[tuple[int, Dataset | None]] = [(0xFF00, match(QueryRetrieveLevel="SERIES")), (0x0000, None)]
    with finder(*statuses) as port:
        assert archive(port).instances(STUDY) == ()


def test_an_archive_without_end_is_left() -> None:
    identifier = match(QueryRetrieveLevel="SERIES", StudyInstanceUID=STUDY, SeriesInstanceUID="")
    endless = [(0xFF00, match(SeriesInstanceUID="1.2"))] * 100
    with (
        finder(*endless) as port,
        open_association("127.0.0.1", port, called="ARCHIVE", calling="X", contexts=query_contexts()) as opened,
    ):
        with pytest.raises(PeerUnavailable, match="more than 5 matches"):
            opened.find(StudyRootQueryRetrieveInformationModelFind, identifier, most=5)
        with pytest.raises(PeerUnavailable, match="is over"):
            opened.find(StudyRootQueryRetrieveInformationModelFind, identifier)


def test_nobody_at_the_address() -> None:
    with pytest.raises(PeerUnavailable, match="cannot connect"):
        archive(free_port()).instances(STUDY)


@contextlib.contextmanager
def giver(*answers: Any) -> Iterator[int]:
    """A pynetdicom SCP of C-GET that offers `answers`: how many there are, then a status and a data set each."""

    def get(event: Event) -> Iterator[Any]:
        yield from answers

    ae = AE("ARCHIVE")
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
    ae.add_supported_context(CLASS, scu_role=True, scp_role=True)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_GET, get)])
    assert server is not None
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


CLASS = str(DigitalXRayImageStorageForPresentation)


def held(dataset: Dataset) -> HeldInstance:
    return HeldInstance(
        study_instance_uid=dataset.StudyInstanceUID,
        series_instance_uid=dataset.SeriesInstanceUID,
        sop_instance_uid=dataset.SOPInstanceUID,
        sop_class_uid=dataset.SOPClassUID,
    )


def test_an_object_comes_back_as_it_is_kept() -> None:
    dataset = datasets.chest(600, 500)
    with giver(1, (0xFF00, dataset)) as port:
        returned = archive(port).retrieve(held(dataset), [ImplicitVRLittleEndian])
    assert returned.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert returned == dataset


@pytest.mark.parametrize(
    ("answers", "said"),
    [((0,), "sent nothing"), ((1, (0xA701, None)), "status A701 and sent nothing")],
)
def test_an_archive_that_gives_nothing_back(answers: tuple[Any, ...], said: str) -> None:
    with giver(*answers) as port, pytest.raises(Refused, match=said):
        archive(port).retrieve(held(datasets.chest()), [ImplicitVRLittleEndian])


@pytest.mark.peer
def test_who_only_stores_gives_nothing_back(tmp_path: Path) -> None:
    with storescp(tmp_path / "got", called="ARCHIVE") as (port, _), pytest.raises(Refused, match="gives nothing back"):
        archive(port).retrieve(held(datasets.chest()), [ImplicitVRLittleEndian])


@pytest.mark.peer
def test_a_study_tells_whose_it_is_and_a_range_of_days_finds_it(tmp_path: Path) -> None:
    first = datasets.chest(
        StudyInstanceUID=STUDY, PatientID="P-1", AccessionNumber="A-1", StudyDate="20260301", StudyTime="120500"
    )
    other = datasets.chest(StudyInstanceUID="1.2.5", StudyDate="20260303")
    with dcmqrscp(tmp_path) as port:
        files = [datasets.write(each, tmp_path) for each in (first, other)]
        assert storescu(port, *files, called="ARCHIVE", options=["-R"]).returncode == 0
        found = archive(port).study(STUDY)
        assert archive(port).study("1.2.404") is None
        days = [archive(port).studies(*days) for days in (("20260301", "20260302"), ("20260304", "20260305"))]
    assert found is not None
    assert (found.patient_id, found.accession_number, found.study_date) == ("P-1", "A-1", "20260301")
    assert "P-1" not in repr(found)
    assert [[each.study_instance_uid for each in some] for some in days] == [[STUDY], []]


def test_what_an_archive_does_not_tell_is_not_empty() -> None:
    with finder((0xFF00, match(StudyInstanceUID=STUDY, PatientID="P-1", AccessionNumber="")), (0x0000, None)) as port:
        found = archive(port).study(STUDY)
    assert found is not None
    assert (found.patient_id, found.accession_number, found.issuer_of_patient_id) == ("P-1", "", None)
    assert found.modalities == ()


def test_a_study_that_was_not_asked_for_is_no_answer() -> None:
    with finder((0xFF00, match(StudyInstanceUID="1.2.5", PatientID="P-1")), (0x0000, None)) as port:
        assert archive(port).study(STUDY) is None


def test_an_image_is_found_in_whichever_study_it_is() -> None:
    there = match(StudyInstanceUID="1.2.5", SeriesInstanceUID="1.2.6", SOPInstanceUID="1.2.7")
    another = match(StudyInstanceUID="1.2.5", SeriesInstanceUID="1.2.6", SOPInstanceUID="1.2.8")
    with finder((0xFF00, there), (0xFF00, another), (0x0000, None)) as port:
        (found,) = archive(port).whereabouts("1.2.7")
    assert (found.study_instance_uid, found.series_instance_uid) == ("1.2.5", "1.2.6")
    with finder((0xA900, None)) as port:
        assert archive(port).whereabouts("1.2.7") == (), "it answers no relational query"


@pytest.mark.peer
def test_an_archive_sends_what_it_is_asked_for_and_nothing_else(tmp_path: Path) -> None:
    wanted, other = (datasets.chest(StudyInstanceUID=STUDY) for _ in range(2))
    (tmp_path / "qr").mkdir()
    with (
        storescp(tmp_path / "got", called="CHEXNODE") as (to, got),
        dcmqrscp(tmp_path / "qr", {"CHEXNODE": to}) as port,
    ):
        files = [datasets.write(each, tmp_path) for each in (wanted, other)]
        assert storescu(port, *files, called="ARCHIVE", options=["-R"]).returncode == 0
        archive(port).send([held(wanted)], to="CHEXNODE")
        assert [str(dcmread(path).SOPInstanceUID) for path in got.iterdir()] == [wanted.SOPInstanceUID]
        with pytest.raises(Refused, match=r"C-MOVE|nothing to send"):
            archive(port).send([held(datasets.chest(StudyInstanceUID="1.2.404"))], to="CHEXNODE")
        with pytest.raises(Refused, match="A801: does it know NOBODY"):
            archive(port).send([held(wanted)], to="NOBODY")


@pytest.mark.peer
def test_who_only_stores_sends_nothing_on_request(tmp_path: Path) -> None:
    with storescp(tmp_path / "got", called="ARCHIVE") as (port, _), pytest.raises(Refused, match="none of the"):
        archive(port).send([held(datasets.chest())], to="CHEXNODE")
