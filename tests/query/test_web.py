"""QIDO-RS and WADO-RS at services that answer as they should, and as they should not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_node.errors import PeerUnavailable, Refused
from dicom_node.peer import PeerSection, Transport
from dicom_node.query.archive import HeldInstance
from dicom_node.query.web import WebArchive
from tests import datasets
from tests.deliver.web import Reply, StoreService

SEARCH = "/studies/1.2.3/instances"
OBJECT = "/studies/1.2.3/series/1.2.4/instances/1.2.5"
HELD = HeldInstance(
    study_instance_uid="1.2.3",
    series_instance_uid="1.2.4",
    sop_instance_uid="1.2.5",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
)
MULTIPART = 'multipart/related; type="application/dicom"; boundary=b'


@pytest.fixture
def service() -> Iterator[StoreService]:
    with StoreService() as service:
        yield service


def archive(service: StoreService) -> WebArchive:
    peer = PeerSection(name="web", transport=Transport.STOW_RS, dicomweb_url=service.url)
    return WebArchive(peer, connect_timeout=2, response_timeout=2)


def item(**tags: str) -> dict[str, Any]:
    return {tag.removeprefix("t"): {"vr": "UI", "Value": [value]} for tag, value in tags.items()}


def multipart(*parts: bytes) -> Reply:
    body = b"".join(b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\n" + part for part in parts) + b"\r\n--b--"
    return Reply(body=body, content_type=MULTIPART)


def chest() -> Dataset:
    return datasets.chest(StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", SOPInstanceUID="1.2.5")


def test_every_instance_that_is_named(service: StoreService) -> None:
    found = [
        item(t0020000E="1.2.4", t00080018="1.2.5", t00080016=HELD.sop_class_uid),
        item(t0020000E="1.2.4"),
        {},
    ]
    service.documents[SEARCH] = Reply(body=json.dumps(found).encode())
    assert archive(service).instances("1.2.3") == (HELD,)


@pytest.mark.parametrize(
    "reply",
    [Reply(status=204, body=b""), Reply(body=b"[]"), Reply(status=404, body=b"{}", content_type="application/json")],
    ids=["204", "empty", "404"],
)
def test_a_study_that_is_not_there(service: StoreService, reply: Reply) -> None:
    service.documents[SEARCH] = reply
    assert archive(service).instances("1.2.3") == ()


@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (Reply(status=404, body=b"no such page", content_type="text/html"), Refused, "404 Not Found"),
        (Reply(status=401, body=b""), Refused, "401"),
        (Reply(status=429, body=b""), PeerUnavailable, "429"),
        (Reply(status=503, body=b""), PeerUnavailable, "503"),
        (Reply(body=b"<html>Petra^Muster</html>", content_type="text/html"), Refused, "no DICOMweb"),
        (Reply(body=b"[" * 100_000), Refused, "no DICOMweb"),
        (Reply(body=b"[1]"), Refused, "no DICOMweb"),
        (Reply(status=302, body=b"", headers={"Location": "/login"}), Refused, "sends us elsewhere"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Reply) else "",
)
def test_what_a_search_may_be_answered_with(
    service: StoreService, reply: Reply, error: type[Exception], said: str
) -> None:
    service.documents[SEARCH] = reply
    with pytest.raises(error, match=said) as raised:
        archive(service).instances("1.2.3")
    assert "Petra" not in str(raised.value)


def test_an_object_comes_back_as_it_is_kept(service: StoreService) -> None:
    dataset = chest()
    service.documents[OBJECT] = multipart(datasets.file_bytes(dataset))
    returned = archive(service).retrieve(HELD)
    assert returned == dataset
    assert returned.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID


@pytest.mark.parametrize(
    "reply",
    [
        multipart(b"no DICOM at all"),
        multipart(),
        Reply(body=b"<html>Please log in</html>", content_type="text/html"),
        Reply(status=404, body=b"", content_type="text/plain"),
    ],
    ids=["garbage", "empty", "login", "404"],
)
def test_what_is_no_object_is_refused(service: StoreService, reply: Reply) -> None:
    service.documents[OBJECT] = reply
    with pytest.raises(Refused, match=r"no DICOMweb|404"):
        archive(service).retrieve(HELD)


def studies(*uids: str) -> Reply:
    return Reply(body=json.dumps([item(t0020000D=uid, t00100020="P-1", t00080050="") for uid in uids]).encode())


def test_a_study_tells_whose_it_is(service: StoreService) -> None:
    service.documents["/studies"] = studies("1.2.4", "1.2.3")
    found = archive(service).study("1.2.3")
    assert found is not None
    assert (found.patient_id, found.accession_number, found.issuer_of_patient_id) == ("P-1", "", None)
    assert archive(service).study("1.2.404") is None


def test_a_service_that_knows_no_pages_is_asked_until_nothing_new_comes(service: StoreService) -> None:
    service.documents["/studies"] = studies(*(f"1.2.{number}" for number in range(100)))
    assert len(archive(service).studies("20260301", "20260302")) == 100


def test_an_image_is_found_in_whichever_study_it_is(service: StoreService) -> None:
    there = item(t0020000D="1.2.9", t0020000E="1.2.4", t00080018="1.2.5")
    service.documents["/instances"] = Reply(body=json.dumps([there, item(t00080018="1.2.5")]).encode())
    (found,) = archive(service).whereabouts("1.2.5")
    assert (found.study_instance_uid, found.series_instance_uid) == ("1.2.9", "1.2.4")
    service.documents["/instances"] = Reply(status=400, body=b"")
    assert archive(service).whereabouts("1.2.5") == (), "it searches in one study at a time"


def test_a_file_comes_back_octet_for_octet(service: StoreService) -> None:
    file = datasets.file_bytes(chest())
    service.documents[OBJECT] = multipart(file)
    assert archive(service).file(HELD) == file
    service.documents[OBJECT] = multipart(file, file)
    with pytest.raises(Refused, match="no DICOMweb"):
        archive(service).file(HELD)
