"""A handshake with archives that can do less than everything, or do something else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from dicom_node.config import Settings
from dicom_node.doctor import specimen
from dicom_node.doctor.check import Check, Health, passed
from dicom_node.doctor.handshake import Handshake, destination_called
from dicom_node.doctor.sheet import WIDTH, sheet
from dicom_node.domain import Profile
from dicom_node.errors import NotFound
from dicom_node.receive.head import read_head
from model.weights import read_manifest
from tests.deliver.archives import Archive
from tests.deliver.node import peer, settings_of
from tests.deliver.web import Reply, StoreService
from tests.peers import dcmqrscp, free_port, storescp


def trial(folder: Path, *peers: dict[str, Any]) -> Handshake:
    settings = settings_of(folder, *peers)
    return Handshake(settings, destination_called(peers[0]["name"], settings), read_manifest())


def tried(folder: Path, *peers: dict[str, Any]) -> tuple[list[Check], str]:
    """All three parts, and the sheet."""
    with trial(folder, *peers) as handshake:
        checks = [*handshake.look(), *handshake.send(), *handshake.read_back()]
        return checks, sheet(handshake, checks, when="2026-03-01 14:05:09", sent=True)


def said(checks: Sequence[Check], health: Health) -> dict[str, str]:
    return {check.what: f"{check.said} / {check.advice}" for check in checks if check.health is health}


@pytest.mark.peer
def test_an_archive_that_only_stores_passes_and_what_was_not_compared_is_said(tmp_path: Path) -> None:
    with storescp(tmp_path / "got", called="ARCHIVE") as (port, folder):
        checks, text = tried(tmp_path, peer("archive", port))
    assert passed(checks)
    notes = said(checks, Health.WARNING)
    assert "not offered" in notes["C-FIND"]
    assert "what it holds was not compared" in notes["read back"]
    assert "NOTE  C-FIND: not offered" in text
    stored = {str(dcmread(path).SOPClassUID) for path in folder.iterdir()}
    assert {DigitalXRayImageStorageForPresentation, SecondaryCaptureImageStorage} < stored
    assert len(stored) == 3


@pytest.mark.peer
def test_an_archive_that_answers_queries_says_that_it_has_everything(tmp_path: Path) -> None:
    with dcmqrscp(tmp_path) as port:
        checks, text = tried(tmp_path / "node", peer("archive", port, profile="classic-pacs"))
    assert passed(checks)
    fine = said(checks, Health.OK)
    assert fine["C-FIND"].startswith("all 4 objects are found")
    for name in ("image", "SC", "GSPS", "SR"):
        assert fine[f"C-GET {name}"].startswith("comes back identical")
    assert "PASS  C-FIND" in text


def test_a_refused_class_is_named_and_all_else_goes_on(tmp_path: Path) -> None:
    classes = [DigitalXRayImageStorageForPresentation, SecondaryCaptureImageStorage]
    with Archive(classes=classes) as archive:
        checks, text = tried(tmp_path, peer("archive", archive.port))
    failures = said(checks, Health.FAILED)
    assert failures.keys() == {"negotiate SEG", "store SEG"}
    assert "1.2.840.10008.5.1.4.1.1.66.4" in failures["negotiate SEG"]
    assert "enable it there" in failures["negotiate SEG"]
    assert said(checks, Health.OK).keys() >= {"store image", "store SC"}
    assert "recall" in said(checks, Health.WARNING)["negotiate KOS"]
    assert "FAILED: 2 of" in text


def test_a_destination_for_results_alone_need_not_take_the_image(tmp_path: Path) -> None:
    classes = [SegmentationStorage, SecondaryCaptureImageStorage]
    with Archive(classes=classes) as archive:
        checks, _ = tried(tmp_path, peer("archive", archive.port))
    assert passed(checks)
    notes = said(checks, Health.WARNING)
    assert "results only" in notes["negotiate image"]
    assert "results only" in notes["store image"]
    assert len(archive.kept) == 2


def test_nothing_is_stored_before_send(tmp_path: Path) -> None:
    with Archive() as archive, trial(tmp_path, peer("archive", archive.port)) as handshake:
        list(handshake.look())
        assert archive.came == {}
        assert handshake.specimens[0].sop_class_uid in {row.sop_class_uid for row in handshake.negotiated}


def test_which_syntaxes_are_accepted(tmp_path: Path) -> None:
    syntaxes = [ImplicitVRLittleEndian, RLELossless]
    with Archive(transfer_syntaxes=syntaxes) as archive, trial(tmp_path, peer("archive", archive.port)) as handshake:
        list(handshake.look())
        (row,) = (row for row in handshake.negotiated if row.sop_class_uid == SecondaryCaptureImageStorage)
    assert [uid for uid, accepted in row.accepted.items() if accepted] == [RLELossless, ImplicitVRLittleEndian]


def test_nobody_at_the_address(tmp_path: Path) -> None:
    checks, text = tried(tmp_path, peer("archive", free_port()))
    failures = said(checks, Health.FAILED)
    assert {"C-ECHO", "negotiate", "store image"} <= failures.keys()
    assert all("cannot connect" in failures[what] for what in ("C-ECHO", "negotiate", "store image"))
    assert "FAILED" in text


def test_an_archive_that_does_not_know_us(tmp_path: Path) -> None:
    with Archive(ae_title="OTHER") as archive:
        checks, _ = tried(tmp_path, peer("archive", archive.port))
    assert "check both AE titles" in said(checks, Health.FAILED)["C-ECHO"]


def test_a_service_that_takes_stow_and_nothing_else(tmp_path: Path) -> None:
    web = {"name": "web", "mode": "hold", "transport": "stow-rs", "profile": "air"}
    with StoreService(Reply(), Reply(status=409, failure=0x0122)) as service:
        checks, text = tried(tmp_path, {**web, "dicomweb_url": service.url})
    assert "cannot be searched" in said(checks, Health.WARNING)["DICOMweb web"]
    assert said(checks, Health.FAILED).keys() == {"store SEG"}
    assert said(checks, Health.OK).keys() >= {"store image", "store SR"}
    assert "results by     STOW-RS" in text


def test_the_sheet_is_plain_text_and_carries_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret-t0ken")
    web = {"name": "web", "mode": "send", "transport": "stow-rs"}
    bearer = {"dicomweb_authentication": "bearer", "dicomweb_secret": "env:TOKEN"}
    with StoreService(Reply(status=401, body=b"")) as service:
        checks, text = tried(tmp_path, {**web, **bearer, "dicomweb_url": service.url})
    assert "check dicomweb_authentication" in said(checks, Health.FAILED)["store image"]
    assert "s3cret" not in text
    assert all(line.isascii() and len(line) <= WIDTH for line in text.splitlines())


def test_only_a_destination_can_be_tried(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, peer("archive"), peer("other"))
    with pytest.raises(NotFound, match="no destination is called pacs; there are: archive, other"):
        destination_called("pacs", settings)


def test_a_node_that_it_is_routed_to_knows_the_test_image_as_its_own(tmp_path: Path) -> None:
    image = specimen.source()
    path = tmp_path / "image.dcm"
    image.save_as(path, enforce_file_format=True)
    data = path.read_bytes()
    head = read_head(bytearray(data[data.index(b"\x08\x00\x05\x00CS") :]), str(image.file_meta.TransferSyntaxUID))
    assert (head.manufacturer, head.manufacturer_model_name) == ("chexnode", "chexnode")


def test_the_same_configuration_gives_the_same_study() -> None:
    settings, manifest = Settings(), read_manifest()
    assert specimen.specimens(Profile.OHIF, settings, manifest) == specimen.specimens(Profile.OHIF, settings, manifest)
    changed = Settings.model_validate({"results": {"sc_description": "AI RESEARCH other"}})
    one, other = (specimen.specimens(Profile.OHIF, each, manifest) for each in (settings, changed))
    # the image is the same, and of the objects none has the other's UID
    assert one[0] == other[0]
    assert not {each.sop_instance_uid for each in one[1:]} & {each.sop_instance_uid for each in other[1:]}
