"""A destination that comes later gets what it would have got from the start, and the model looks at nothing again."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicom_node import operate
from dicom_node.analyse.examine import Examiner
from dicom_node.config import Settings
from dicom_node.domain import Profile, RecallReason
from dicom_node.errors import NotFound
from dicom_node.ledger import purge
from dicom_node.operate import Choice
from dicom_node.peer import PeerSection
from tests import datasets
from tests.analyse.conftest import with_lesion
from tests.deliver.archives import Archive
from tests.life.conftest import Run
from tests.life.node import Life, archive, kept, life_settings, notes


@pytest.fixture
def pacs() -> Iterator[Archive]:
    with archive() as place:
        yield place


@pytest.fixture
def viewer() -> Iterator[Archive]:
    with archive() as place:
        yield place


@pytest.fixture
def life(tmp_path: Path, pacs: Archive, examiner: Examiner[int]) -> Iterator[Life]:
    life = Life(life_settings(tmp_path / "node", archive=(pacs, "strict")), examiner)
    yield life
    life.close()


@pytest.fixture
def study(life: Life) -> tuple[Dataset, Dataset]:
    """An image with a finding and one without, whose results the archive has."""
    shared = {"StudyInstanceUID": generate_uid(), "PatientID": "P-1", "AccessionNumber": "A-77"}
    images = with_lesion(**shared), datasets.chest(100, 90, **shared)
    life.store(*images)
    life.run()
    return images


def grown(life: Life, viewer: Archive, *, profile: str = "ohif", mode: str = "send", to: bool = True) -> Settings:
    """The settings with a destination more, which is where PACS's results go too."""
    later = PeerSection.model_validate(
        {
            "name": "viewer",
            "ae_title": "ARCHIVE",
            "host": "127.0.0.1",
            "port": viewer.port,
            "mode": mode,
            "profile": profile,
        }
    )
    peers = tuple(
        peer.model_copy(update={"results_to": ("archive", "viewer")}) if peer.sends and to else peer
        for peer in life.settings.peers
    )
    return life.settings.model_copy(update={"peers": (*peers, later)})


def objects(place: Archive) -> dict[str, Dataset]:
    return {str(each.SOPInstanceUID): each for each in kept(place)}


@pytest.mark.parametrize("profile", ["ohif", "slicer", "classic-pacs"])
def test_it_gets_what_it_would_have_got_from_the_start(
    life: Life, study: tuple[Dataset, Dataset], viewer: Archive, profile: str, run: Run, tmp_path: Path
) -> None:
    looked = list(life.bench.predictor.batches)
    life.restart(grown(life, viewer, profile=profile))
    assert run("resend", "--destination", "viewer", "--all", "--yes").startswith("0 ")
    assert life.bench.predictor.batches == looked
    life.deliver()
    late = objects(viewer)

    with archive() as first:
        from_the_start = life_settings(tmp_path / "other", archive=(first, profile))
        with_it = Life(from_the_start, life.bench.examiner)
        try:
            with_it.store(*study)
            with_it.run()
        finally:
            with_it.close()
        at_once = objects(first)
    assert late.keys() == at_once.keys()
    assert late
    for uid, each in late.items():
        assert each.get("PixelData") == at_once[uid].get("PixelData")
        assert each.get("ContentSequence") == at_once[uid].get("ContentSequence")
        assert each.PatientID == "P-1"


def test_it_says_and_does_and_goes_on_where_it_was(
    life: Life, study: tuple[Dataset, Dataset], pacs: Archive, viewer: Archive, run: Run
) -> None:
    before = dict(pacs.came)
    life.restart(grown(life, viewer))
    dry = run("resend", "--destination", "viewer", "--accession", "A-77", "--dry-run")
    assert "Would send 4 results to viewer, 4 of them to be encoded." in dry
    assert run("resend", "--destination", "viewer", "--accession", "A-77", answers="n\n").startswith("1 ")
    life.deliver()
    assert viewer.came == {}
    assert "Queued 4 results for viewer, 4 of them newly encoded" in run(
        "resend", "--destination", "viewer", "--accession", "A-77", "-y"
    )
    assert "Would send 0 results" in run("resend", "--destination", "viewer", "--accession", "A-77", "-y")
    life.deliver()
    assert sorted(each.Modality for each in objects(viewer).values()) == ["OT", "OT", "SEG", "SR"]
    assert dict(pacs.came) == before
    life.pass_time()
    life.deliver()
    assert set(viewer.came.values()) == {1}


def test_marks_are_those_of_the_time_whatever_the_threshold_is_today(
    life: Life, study: tuple[Dataset, Dataset], pacs: Archive, viewer: Archive, run: Run
) -> None:
    settings = grown(life, viewer)
    stricter = settings.model_copy(update={"model": settings.model.model_copy(update={"threshold": 0.8})})
    life.restart(stricter)
    run("resend", "--destination", "viewer", "--all", "--yes")
    life.deliver()
    (late,) = (each for each in objects(viewer).values() if each.Modality == "SEG")
    (first,) = (each for each in objects(pacs).values() if each.Modality == "SEG")
    assert late.PixelData == first.PixelData
    (algorithm,) = late.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmParameters.endswith("threshold=0.5")


def test_on_hold_it_waits_for_a_person(life: Life, study: tuple[Dataset, Dataset], viewer: Archive, run: Run) -> None:
    life.restart(grown(life, viewer, mode="hold"))
    assert "held: chexnode release --destination viewer" in run("resend", "--destination", "viewer", "--all", "-y")
    life.deliver()
    assert viewer.came == {}
    run("release", "--destination", "viewer")
    life.deliver()
    assert len(objects(viewer)) == 4


def test_nothing_goes_where_its_sender_sends_nothing(
    life: Life, study: tuple[Dataset, Dataset], viewer: Archive, run: Run
) -> None:
    life.restart(grown(life, viewer, to=False))
    said = run("resend", "--destination", "viewer", "--all", "--yes")
    assert "results_to of PACS does not name viewer" in said
    assert "Would send 0 results" in said
    with pytest.raises(NotFound, match="no destination that is not off is called viewr; there are: archive, viewer"):
        run("resend", "--destination", "viewr", "--all", "--yes")


def test_what_was_purged_or_recalled_is_named_and_left_out(
    life: Life, study: tuple[Dataset, Dataset], viewer: Archive, run: Run
) -> None:
    other = with_lesion()
    life.store(other)
    life.run()
    chosen = Choice(study_instance_uid=str(other.StudyInstanceUID))
    operate.recall(life.ledger, chosen, reason=RecallReason.QUALITY, now=life.now)
    with life.ledger.transaction() as tx:
        assert purge.purge(tx, 1, ended_before=4e9, now=life.now)
    life.restart(grown(life, viewer))
    said = run("resend", "--destination", "viewer", "--since", "2025-01-01", "--yes")
    for image in study:
        assert f"image {image.SOPInstanceUID}: not possible, its bytes were deleted after delivery" in said
    assert f"image {other.SOPInstanceUID}: not possible, its results were recalled" in said
    assert "Would send 0 results" in said


def test_an_image_that_cannot_be_read_any_more_keeps_no_other_back(
    life: Life, study: tuple[Dataset, Dataset], viewer: Archive, run: Run
) -> None:
    view = life.study(1)
    broken = next(each.instance for each in view.instances if each.instance.sop_instance_uid == study[0].SOPInstanceUID)
    path = life.spool.path(broken.spool_key)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-9000])
    life.restart(grown(life, viewer))
    said = run("resend", "--destination", "viewer", "--all", "--yes")
    assert f"image {broken.sop_instance_uid}: not encoded, " in said
    life.deliver()
    assert [each.Modality for each in objects(viewer).values()] == ["OT", "SR"]


def test_a_destination_whose_profile_changes_gets_the_new_form_and_keeps_the_old_until_it_is_recalled(
    life: Life, study: tuple[Dataset, Dataset], pacs: Archive, run: Run
) -> None:
    old = set(objects(pacs))
    peers = tuple(
        peer.model_copy(update={"profile": Profile.OHIF}) if peer.name == "archive" else peer
        for peer in life.settings.peers
    )
    life.restart(life.settings.model_copy(update={"peers": peers}))
    said = run("resend", "--destination", "archive", "--all", "--yes")
    assert f"{len(old)} results of another profile are there and stay; `chexnode recall --profile` withdraws" in said
    life.deliver()
    new = set(objects(pacs)) - old
    assert len(new) == 4
    assert "Recalled" in run("recall", "--profile", "strict", "--yes")
    life.now = time.time() + 1
    life.pass_time()
    life.deliver()
    assert [named for _, named in notes(pacs)] == [old]
