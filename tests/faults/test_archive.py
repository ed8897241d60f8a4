"""Archives that are away, full, awkward: everything arrives once, under the header that the archive has now."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from dicom_node.demo.manners import COERCED, CORRECTED, MERGED, Manner
from dicom_node.dimse.sending import send_files
from tests import datasets
from tests.faults import trials, verdict
from tests.faults.hospital import LONG, Hospital, abnormal
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """Every fault of this module strikes the same archive, which routes what others send to the node."""
    with Hospital(tmp_path_factory.mktemp("site"), routes=True) as made:
        made.start()
        yield made


@pytest.mark.parametrize("fault", [name for name in trials.FAULTS if name.startswith("archive-")])
def test_an_archive_that_fails_gets_everything_once(site: Hospital, fault: str) -> None:
    outcome = trials.FAULTS[fault](site, random.Random(1))
    assert (outcome.lost, outcome.duplicated) == ((), ())


def test_what_an_archive_will_never_take_holds_nothing_else_up(site: Hospital) -> None:
    site.awkward(Manner.REFUSE_SEG)
    image = abnormal()
    site.send(image)
    wait_for(
        "overlay and report", lambda: _modalities(site, image) == ["OT", "SR"] and not site.unfinished(), seconds=LONG
    )
    [(state, error)] = site.ask(
        "SELECT d.state, d.last_error FROM delivery d JOIN result r ON r.id = d.result_id JOIN study s"
        f" ON s.id = d.study_id WHERE r.kind = 'seg' AND s.study_instance_uid = '{image.StudyInstanceUID}'"
    )
    assert state == "failed"
    assert f"does not accept SOP class {SegmentationStorage}" in error


def test_results_stand_under_the_patient_that_the_archive_coerced(site: Hospital) -> None:
    site.awkward(Manner.COERCE, Manner.RECOMPRESS)
    image = abnormal()
    site.through_the_archive(image)
    _wait_for_results(site, image)
    assert {dcmread(kept.path).PatientID for kept in site.record.of(image.StudyInstanceUID)} == {COERCED + "P-2002"}
    assert verdict.duplicated(site) == []


def test_results_and_priors_that_come_back_start_nothing(site: Hospital) -> None:
    site.awkward(Manner.RETURN_RESULTS)
    prior, image = abnormal(PatientID="P-RETURNS"), abnormal(PatientID="P-RETURNS")
    for each in (prior, image):
        site.through_the_archive(each)
        _wait_for_results(site, each)
    jobs = "SELECT count(*), max(s.revision) FROM job j JOIN study s ON s.id = j.study_id WHERE s.study_instance_uid = "
    for each in (prior, image):
        assert site.ask(f"{jobs}'{each.StudyInstanceUID}'") == [(1, 1)]
    # the next study is through: whatever a loop would have brought about had its time
    last = abnormal()
    site.through_the_archive(last)
    _wait_for_results(site, last)
    assert all(_modalities(site, each) == ["OT", "SEG", "SR"] for each in (prior, image, last))
    assert verdict.duplicated(site) == []


@pytest.mark.parametrize(
    ("manner", "keyword", "value"),
    [
        (Manner.MERGE_PATIENTS, "PatientID", MERGED + "P-2002"),
        (Manner.SEND_TWICE, "AccessionNumber", "A-1001" + CORRECTED),
    ],
)
def test_a_study_with_another_header_is_encoded_anew(site: Hospital, manner: Manner, keyword: str, value: str) -> None:
    site.awkward(manner)
    image = abnormal()
    site.through_the_archive(image)
    current = (
        "SELECT r.sop_instance_uid FROM result r JOIN study s ON s.id = r.study_id"
        " JOIN delivery d ON d.result_id = r.id"
        f" WHERE r.is_current AND d.state = 'stored' AND s.study_instance_uid = '{image.StudyInstanceUID}'"
    )

    def corrected() -> bool:
        # what the archive had of the node when it changed its mind, it changed, too
        came = [dcmread(site.record.kept[uid].path) for (uid,) in site.ask(current) if uid in site.record.kept]
        return sorted(each.Modality for each in came) == ["OT", "SEG", "SR"] and all(
            each[keyword].value == value for each in came
        )

    wait_for("results under the corrected header", corrected, seconds=LONG, every=0.2)
    wait_for("nothing left to do", lambda: not site.unfinished(), seconds=LONG)
    versions = f"SELECT count(*) FROM instance WHERE sop_instance_uid = '{image.SOPInstanceUID}'"
    assert site.ask(versions) == [(2,)]


def test_a_missing_and_a_damaged_object_would_be_seen(tmp_path: Path) -> None:
    with Hospital(tmp_path) as site:
        site.start()
        kept, gone, changed = (datasets.chest() for _ in range(3))
        site.send(kept, gone, changed)
        keys = dict(site.ask("SELECT sop_instance_uid, spool_key FROM instance"))
        objects = tmp_path / "data" / "spool" / "objects"
        (objects / keys[gone.SOPInstanceUID][:2] / keys[gone.SOPInstanceUID]).unlink()
        damaged = objects / keys[changed.SOPInstanceUID][:2] / keys[changed.SOPInstanceUID]
        damaged.write_bytes(damaged.read_bytes()[:-1])
        assert [text.split(":")[0] for text in verdict.lost(site, {})] == [gone.SOPInstanceUID, changed.SOPInstanceUID]
        site.acknowledged["1.2.3"] = kept
        assert "1.2.3: no record" in verdict.lost(site, {})


def test_what_is_there_twice_would_be_seen(tmp_path: Path) -> None:
    with Hospital(tmp_path) as site:
        site.start()
        image = datasets.chest()
        site.send(image)
        assert verdict.duplicated(site, {}) == []
        one = datasets.secondary_capture(StudyInstanceUID=image.StudyInstanceUID, Modality="OT")
        other = datasets.secondary_capture(StudyInstanceUID=image.StudyInstanceUID, Modality="OT")
        same_uid = datasets.secondary_capture(SOPInstanceUID=one.SOPInstanceUID)
        for number, result in enumerate((one, other, same_uid)):
            path = datasets.write(result, tmp_path, f"{number}.dcm")
            list(send_files([path], "127.0.0.1", site.archive_port, called="ARCHIVE", calling="CHEXNODE"))
        assert verdict.duplicated(site, {"OT": 1}) == [
            f"{one.SOPInstanceUID}: 2 contents",
            f"study {image.StudyInstanceUID}: 1 × OT too many",
        ]


def _modalities(site: Hospital, image: Dataset) -> list[str]:
    return sorted(kept.modality for kept in site.record.of(str(image.StudyInstanceUID)))


def _wait_for_results(site: Hospital, image: Dataset) -> None:
    wait_for(
        "results in the archive",
        lambda: _modalities(site, image) == ["OT", "SEG", "SR"] and not site.unfinished(),
        seconds=LONG,
    )
