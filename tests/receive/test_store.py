"""Instances come in from real senders, byte for byte, and the ledger knows them."""

import hashlib
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    generate_uid,
)

from dicom_node.ledger import jobs
from tests import datasets
from tests.datasets import TRANSFER_SYNTAXES
from tests.dimse.raw import RawSender
from tests.peers import association, dcmsend, storescu
from tests.receive.conftest import Receiver, Start

NAMES = [UID(syntax).keyword for syntax in TRANSFER_SYNTAXES]


def _received(receiver: Receiver, dataset: pydicom.Dataset) -> None:
    """What is kept is what was sent: the data set to the byte, file meta of ours, the digest of the data set."""
    row = receiver.current(dataset)
    assert row is not None
    sent = datasets.data_set_bytes(dataset)
    assert row.digest == hashlib.sha256(sent).hexdigest()
    assert row.size == len(sent)
    kept = receiver.kept(dataset)
    assert kept.endswith(sent)
    read = pydicom.dcmread(receiver.spool.path(row.spool_key))
    assert read.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID == row.transfer_syntax_uid
    assert read.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert read.file_meta.MediaStorageSOPClassUID == dataset.SOPClassUID
    assert read.file_meta.SourceApplicationEntityTitle == row.calling_ae_title == "SENDER"
    assert len(kept) - len(sent) == 144 + read.file_meta.FileMetaInformationGroupLength


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES, ids=NAMES)
def test_every_transfer_syntax_as_received(receiver: Receiver, syntax: str) -> None:
    dataset = datasets.in_syntax(datasets.chest(), UID(syntax))
    with association(receiver.port, (dataset.SOPClassUID, syntax)) as sender:
        assert sender.send_c_store(dataset).Status == 0x0000
    _received(receiver, dataset)


def test_deflated_is_not_negotiated(receiver: Receiver) -> None:
    with association(receiver.port, (datasets.chest().SOPClassUID, "1.2.840.10008.1.2.1.99")) as sender:
        assert not sender.is_established or not sender.accepted_contexts


@pytest.mark.peer
@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless],
    ids=lambda syntax: syntax.keyword,
)
def test_dcmsend(receiver: Receiver, tmp_path: Path, syntax: UID) -> None:
    dataset = datasets.in_syntax(datasets.chest(), syntax)
    run = dcmsend(receiver.port, datasets.write(dataset, tmp_path), options=["--decompress-never"])
    assert run.returncode == 0, run.stdout
    _received(receiver, dataset)


@pytest.mark.peer
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian], ids=lambda uid: uid.keyword)
def test_of_several_syntaxes_in_one_context_the_cheapest_is_taken(
    receiver: Receiver, tmp_path: Path, syntax: UID
) -> None:
    dataset = datasets.in_syntax(datasets.chest(), syntax)
    run = dcmsend(receiver.port, datasets.write(dataset, tmp_path))
    assert run.returncode == 0, run.stdout
    row = receiver.current(dataset)
    assert row is not None
    assert row.transfer_syntax_uid == ExplicitVRLittleEndian
    assert receiver.kept(dataset).endswith(datasets.chest().PixelData)


@pytest.mark.peer
def test_storescu_sends_many_in_one_association(receiver: Receiver, tmp_path: Path) -> None:
    sent = [datasets.chest(), datasets.computed_radiography(), datasets.secondary_capture(), datasets.chest(512, 700)]
    run = storescu(receiver.port, *(datasets.write(dataset, tmp_path) for dataset in sent), options=["-R"])
    assert run.returncode == 0, run.stdout
    for dataset in sent:
        _received(receiver, dataset)


@pytest.mark.peer
@pytest.mark.parametrize("pdu", [4096, 16384, 131072])
def test_a_large_image_in_pdus_of_any_size(receiver: Receiver, tmp_path: Path, pdu: int) -> None:
    dataset = datasets.chest(2000, 1501)
    run = storescu(receiver.port, datasets.write(dataset, tmp_path), options=["-R", "--max-send-pdu", str(pdu)])
    assert run.returncode == 0, run.stdout
    _received(receiver, dataset)


@pytest.mark.data
@pytest.mark.peer
def test_real_images(receiver: Receiver, data: Path) -> None:
    paths = [
        path
        for path in sorted((data / "dicom").glob("*.dcm"))
        if not path.name.startswith(("bad_", "cr_chest_headless"))
    ]
    for path in paths:
        run = dcmsend(receiver.port, path, options=["--decompress-never", "--no-uid-checks"])
        assert run.returncode == 0, (path.name, run.stdout)
        assert receiver.current(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID), path.name


def test_one_job_an_instance_and_the_study_is_open(receiver: Receiver) -> None:
    dataset = datasets.chest()
    with association(receiver.port, (dataset.SOPClassUID, ExplicitVRLittleEndian)) as sender:
        sender.send_c_store(dataset)
    row = receiver.current(dataset)
    assert row is not None
    assert row.study_instance_uid == dataset.StudyInstanceUID
    with receiver.ledger.transaction() as tx:
        claimed = jobs.claim(tx, owner="test", now=1e12, lease=60, limit=10)
    assert [claim.instance.sop_instance_uid for claim in claimed] == [dataset.SOPInstanceUID]


def test_the_same_bytes_again_change_nothing(receiver: Receiver) -> None:
    dataset = datasets.chest()
    with association(receiver.port, (dataset.SOPClassUID, ExplicitVRLittleEndian)) as sender:
        assert sender.send_c_store(dataset).Status == 0x0000
        first, files = receiver.current(dataset), receiver.files()
        assert sender.send_c_store(dataset).Status == 0x0000
    assert receiver.current(dataset) == first
    assert receiver.files() == files
    with receiver.ledger.transaction() as tx:
        assert len(jobs.claim(tx, owner="test", now=1e12, lease=60, limit=10)) == 1


def test_other_bytes_under_the_same_uid_are_kept_beside(receiver: Receiver) -> None:
    dataset = datasets.chest()
    changed = datasets.chest(SOPInstanceUID=dataset.SOPInstanceUID, StudyInstanceUID=dataset.StudyInstanceUID)
    with association(receiver.port, (dataset.SOPClassUID, ExplicitVRLittleEndian)) as sender:
        assert sender.send_c_store(dataset).Status == 0x0000
        assert sender.send_c_store(changed).Status == 0x0000
    assert len(receiver.files()) == 2
    _received(receiver, dataset)  # which of the two is current is not for the receiver to decide


@pytest.mark.parametrize("uid", [SegmentationStorage, SecondaryCaptureImageStorage, ComprehensiveSRStorage])
def test_own_results_are_taken_and_not_kept(receiver: Receiver, uid: str) -> None:
    result = datasets.chest(SOPClassUID=uid, Manufacturer="chexnode", ManufacturerModelName="chexnode")
    with association(receiver.port, (uid, ImplicitVRLittleEndian)) as sender:
        result.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        assert sender.send_c_store(result).Status == 0x0000
    assert receiver.current(result) is None
    assert receiver.files() == []


def test_a_class_that_is_not_ours_to_read_is_kept_for_selection_to_decline(receiver: Receiver) -> None:
    dataset = datasets.chest(SOPClassUID=EncapsulatedPDFStorage)
    with association(receiver.port, (EncapsulatedPDFStorage, ExplicitVRLittleEndian)) as sender:
        assert sender.send_c_store(dataset).Status == 0x0000
    _received(receiver, dataset)


def test_a_uid_in_the_command_that_differs_is_refused(receiver: Receiver) -> None:
    dataset = datasets.chest()
    body = datasets.data_set_bytes(dataset)
    with RawSender(receiver.port, [(dataset.SOPClassUID, ExplicitVRLittleEndian)]) as raw:
        assert raw.store(dataset.SOPClassUID, generate_uid(), body) == 0xA900
        assert raw.store(SegmentationStorage, dataset.SOPInstanceUID, body) == 0x0122, "not this context's class"
        assert raw.store(dataset.SOPClassUID, dataset.SOPInstanceUID, body) == 0x0000, "the association goes on"
    _received(receiver, dataset)
    assert len(receiver.files()) == 1


@pytest.mark.parametrize("uid", ["../../etc/x", "1.2.3/../../4", "1." + "2" * 80, "", "1.2.3\n4"])
def test_a_uid_that_is_none_becomes_no_path(receiver: Receiver, uid: str) -> None:
    dataset = datasets.chest()
    body = datasets.data_set_bytes(dataset)
    spoilt = body.replace(dataset.SOPInstanceUID.encode(), uid.encode()[: len(dataset.SOPInstanceUID)].ljust(60, b"\0"))
    with RawSender(receiver.port, [(dataset.SOPClassUID, ExplicitVRLittleEndian)]) as raw:
        assert raw.store(dataset.SOPClassUID, uid, spoilt) == 0xC000
        assert raw.store(dataset.SOPClassUID, dataset.SOPInstanceUID, body) == 0x0000
    assert len(receiver.files()) == 1
    assert not list(receiver.folder.parent.rglob("x"))


def test_no_study_uid_and_rubbish_are_not_understood(receiver: Receiver) -> None:
    dataset = datasets.chest(StudyInstanceUID=None)
    uids = (dataset.SOPClassUID, dataset.SOPInstanceUID)
    with RawSender(receiver.port, [(dataset.SOPClassUID, ExplicitVRLittleEndian)]) as raw:
        assert raw.store(*uids, datasets.data_set_bytes(dataset)) == 0xC000
        assert raw.store(*uids, b"\xff" * 70_000) == 0xC000
        assert raw.store(*uids, b"") == 0xC000
    assert receiver.files() == []


def test_an_object_above_the_cap_is_refused_and_the_association_goes_on(start: Start) -> None:
    receiver = start(max_object_size=1 << 20)
    large, small = datasets.chest(1000, 1000), datasets.chest()
    with association(receiver.port, (large.SOPClassUID, ExplicitVRLittleEndian)) as sender:
        assert sender.send_c_store(large).Status == 0xA700
        assert sender.send_c_store(small).Status == 0x0000
    assert len(receiver.files()) == 1
    _received(receiver, small)


def test_a_disk_at_its_low_watermark(start: Start) -> None:
    receiver = start(low_watermark=1 << 60)
    dataset = datasets.chest()
    with association(receiver.port, (dataset.SOPClassUID, ExplicitVRLittleEndian)) as sender:
        assert sender.is_rejected
        assert sender.acceptor.primitive.result == 2, "transient: the sender is to try again"
    assert receiver.files() == []
