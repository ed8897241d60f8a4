"""The archive's bad manners, one by one, seen by dcmtk's sender and by a second archive that it routes to."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, SecondaryCaptureImageStorage, SegmentationStorage

from dicom_node.demo.archive import Archive, Kept, Verdict
from dicom_node.demo.manners import EXPLAINED, Manner, manners
from dicom_node.demo.router import Route
from dicom_node.dimse.association import Timeouts
from dicom_node.dimse.sending import send_files
from dicom_node.errors import ConfigurationError, PeerUnavailable
from tests import datasets
from tests.cli.running import KEPT
from tests.peers import association, storescu
from tests.waiting import wait_for


class Pair:
    """An awkward archive and the peer that it routes to; the peer remembers every object that came, in order."""

    def __init__(self, folder: Path, *awkward: Manner) -> None:
        self.folder = folder
        self.peer = Archive(folder / "peer", ae_title="PEER", manners=self._remember)
        route = Route(ae_title="PEER", host="127.0.0.1", port=self.peer.port, quiet=0.05)
        self.archive = Archive(folder / "archive", routes={"peer": route}, awkward=awkward, stall=30.0, pause=0.3)
        self.came: list[tuple[str, Path]] = []

    def _remember(self, held: Kept | None, arrived: Kept) -> Verdict:
        self.came.append((arrived.sop_instance_uid, arrived.path))
        return Verdict(keep=True, status=0)

    def send(self, dataset: Dataset, calling: str = "SENDER") -> int:
        path = datasets.write(dataset, self.folder)
        return storescu(self.archive.port, path, calling=calling, called="ARCHIVE", options=["-R"]).returncode

    def wait_for_peer(self, count: int) -> None:
        wait_for(f"{count} objects at the peer", lambda: len(self.came) >= count)
        self.peer.held()  # once the last of them is filed


@contextlib.contextmanager
def pair(folder: Path, *awkward: Manner) -> Iterator[Pair]:
    made = Pair(folder, *awkward)
    with made.peer, made.archive:
        yield made


def test_each_manner_is_explained_and_known_by_its_name() -> None:
    assert set(EXPLAINED) == set(Manner)
    assert manners(" coerce, stall ,") == {Manner.COERCE, Manner.STALL}
    with pytest.raises(ConfigurationError, match=r"'rude'.*there are: coerce, recompress"):
        manners("coerce,rude")


@pytest.mark.peer
def test_it_coerces_says_so_and_routes_its_own_version(tmp_path: Path) -> None:
    sent = datasets.chest()
    with pair(tmp_path, Manner.COERCE) as both:
        path = datasets.write(sent, tmp_path)
        said = storescu(both.archive.port, path, called="ARCHIVE", options=["-R", "-d"]).stdout
        assert "0xb000" in said.lower()
        both.wait_for_peer(1)
        routed = dcmread(both.came[0][1])
    assert routed.SOPInstanceUID == sent.SOPInstanceUID
    assert (routed.PatientID, routed.PatientName) == ("MPI-P-2002", "PROBE^PETRA")
    [original] = routed.OriginalAttributesSequence
    assert original.ModifiedAttributesSequence[0].PatientID == "P-2002"
    assert routed.PixelData == sent.PixelData


@pytest.mark.peer
def test_it_recompresses_without_loss(tmp_path: Path) -> None:
    sent = datasets.chest()
    with pair(tmp_path, Manner.RECOMPRESS) as both:
        assert both.send(sent) == 0
        both.wait_for_peer(1)
        routed = dcmread(both.came[0][1])
    assert routed.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert np.array_equal(routed.pixel_array, sent.pixel_array)


@pytest.mark.peer
def test_it_takes_no_segmentation_and_all_else(tmp_path: Path) -> None:
    syntax = "1.2.840.10008.1.2.1"
    with (
        pair(tmp_path, Manner.REFUSE_SEG) as both,
        association(
            both.archive.port, (SegmentationStorage, syntax), (SecondaryCaptureImageStorage, syntax), called="ARCHIVE"
        ) as opened,
    ):
        assert [context.abstract_syntax for context in opened.accepted_contexts] == [SecondaryCaptureImageStorage]


@pytest.mark.peer
def test_it_stores_and_hangs_up_once(tmp_path: Path) -> None:
    sent = datasets.chest()
    with pair(tmp_path, Manner.DROP_AFTER_STORE) as both:
        assert both.send(sent) != 0
        assert both.archive.instance(sent.SOPInstanceUID) is not None
        assert both.send(sent) == 0
        assert len(both.archive.held()) == 1


@pytest.mark.peer
def test_it_returns_what_it_got_and_the_priors(tmp_path: Path) -> None:
    prior, new, stranger = datasets.chest(), datasets.chest(), datasets.chest(PatientID="OTHER")
    with pair(tmp_path, Manner.RETURN_RESULTS) as both:
        for number, dataset in enumerate((prior, stranger), 1):
            assert both.send(dataset) == 0
            both.wait_for_peer(number)
        assert both.send(new) == 0
        both.wait_for_peer(4)
        assert {uid for uid, _ in both.came[2:]} == {new.SOPInstanceUID, prior.SOPInstanceUID}
        result = datasets.secondary_capture(StudyInstanceUID=new.StudyInstanceUID)
        assert both.send(result, calling="PEER") == 0
        both.wait_for_peer(5)
        assert both.came[-1][0] == result.SOPInstanceUID


@pytest.mark.peer
@pytest.mark.parametrize(
    ("manner", "keyword", "before", "after"),
    [
        (Manner.MERGE_PATIENTS, "PatientID", "P-2002", "MERGED-P-2002"),
        (Manner.SEND_TWICE, "AccessionNumber", "A-1001", "A-1001-C"),
    ],
)
def test_it_routes_a_study_again_once_with_another_header(
    tmp_path: Path, manner: Manner, keyword: str, before: str, after: str
) -> None:
    sent = datasets.chest()
    with pair(tmp_path, manner) as both:
        assert both.send(sent) == 0
        both.wait_for_peer(2)
        assert [uid for uid, _ in both.came] == [sent.SOPInstanceUID] * 2
        assert [dcmread(path)[keyword].value for _, path in both.came] == [before, after]
        # another image, long after: it is routed, and brings no third time
        late = datasets.chest(StudyInstanceUID=sent.StudyInstanceUID)
        assert both.send(late) == 0
        both.wait_for_peer(3)
        assert [uid for uid, _ in both.came[2:]] == [late.SOPInstanceUID]


def test_it_stalls_once_in_the_middle_of_an_object(tmp_path: Path) -> None:
    path = datasets.write(datasets.chest(1500, 1500), tmp_path)
    with pair(tmp_path, Manner.STALL) as both:
        with pytest.raises(PeerUnavailable):
            list(send_files([path], "127.0.0.1", both.archive.port, called="ARCHIVE", calling="ME", timeouts=_BRIEF))
        [sent] = send_files([path], "127.0.0.1", both.archive.port, called="ARCHIVE", calling="ME")
        assert sent.stored


_BRIEF = Timeouts(connect=5.0, response=0.5)


@pytest.fixture
def hears_sigint() -> Iterator[None]:
    """What a shell runs in its background ignores SIGINT, and so would what it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_sigint")
def test_the_command_runs_until_it_is_stopped(tmp_path: Path) -> None:
    kept = {name: os.environ[name] for name in KEPT if name in os.environ} | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "dicom_node", "archive", "kept", "--port", "0", "--awkward", "recompress"],
        cwd=tmp_path,
        env=kept,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        port = int(first.split("port ")[1].split(";")[0])
        assert "recompress: it keeps and routes" in process.stdout.readline()
        sent = datasets.chest()
        [done] = send_files([datasets.write(sent, tmp_path)], "127.0.0.1", port, called="ARCHIVE", calling="MODALITY")
        assert done.stored
        assert process.stdout.readline() == f"DX   {sent.SOPInstanceUID} from MODALITY\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate(timeout=10)
    [file] = (tmp_path / "kept").iterdir()
    assert dcmread(file).file_meta.TransferSyntaxUID == JPEGLSLossless
