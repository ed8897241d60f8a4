"""Files in, examinations out: in order, several at a time, whatever some of them do."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.analyse.decoded import Decoded, DecodeRequest
from dicom_node.analyse.examination import Examination, Status
from dicom_node.analyse.examine import Examiner, examine
from dicom_node.analyse.results import Encoding, require_threshold, require_thresholds
from dicom_node.config import PeerSection, Settings
from dicom_node.domain import Clean, Kind, Profile, Reason
from dicom_node.errors import ConfigurationError
from dicom_node.sections import AnalyseSection, ModelSection, ResultsSection, SelectSection
from tests import datasets
from tests.analyse import bad_files
from tests.analyse.conftest import with_lesion
from tests.analyse.fakes import MANIFEST, ThresholdPredictor
from tests.waiting import wait_for

LIMITS = AnalyseSection(decode_timeout=120, decode_cpu_seconds=1, decode_memory=512 << 20, decoders=2, batch_size=3)
TODAY = date(2025, 3, 4)


@pytest.fixture(scope="module")
def examiner() -> Iterator[Examiner[Path]]:
    with Examiner[Path](LIMITS, SelectSection(), ThresholdPredictor()) as examiner:
        yield examiner


def examined(examiner: Examiner[Path], dataset: Dataset, folder: Path) -> Examination:
    """The examination of one data set."""
    path = datasets.write(dataset, folder)
    examiner.submit(path, DecodeRequest(path=path, arrived=TODAY))
    while not (ended := examiner.finished(timeout=20)):
        pass
    ((key, examination),) = ended
    assert key == path
    return examination


def test_every_file_comes_back_in_its_place(tmp_path: Path):
    good = [datasets.write(with_lesion(), tmp_path, f"{number}.dcm") for number in range(12)]
    paths = [bad_files.nested(tmp_path, 1000), *good, datasets.write(datasets.chest(Modality="CT"), tmp_path, "ct.dcm")]
    examinations = list(examine(paths, ThresholdPredictor(), limits=LIMITS, rules=SelectSection(), today=TODAY))
    assert [examination.path for examination in examinations] == paths
    assert [examination.status for examination in examinations] == [
        Status.UNREADABLE,
        *[Status.ANALYSED] * 12,
        Status.DECLINED,
    ]


def test_a_finding_lies_where_the_source_image_has_it(examiner: Examiner[Path], tmp_path: Path):
    examination = examined(examiner, with_lesion(), tmp_path)
    (finding,) = examination.findings
    assert finding.box == (14, 20, 24, 32)
    assert finding.mask_origin == (20, 14)
    assert finding.mask.shape == (12, 10)
    assert finding.mask.all()
    assert finding.area_mm2 == pytest.approx(120 * 0.15**2)


@pytest.mark.parametrize(
    ("attributes", "pixel_mm2"),
    [
        ({"PixelSpacing": [0.2, 0.1]}, 0.02),
        ({"PixelSpacing": [0, 0]}, 0.15**2),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": None}, None),
        ({"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.1, 0.1]}, 0.01),
        ({"ImagerPixelSpacing": None}, None),
        ({"ImagerPixelSpacing": 0.15}, None),
    ],
)
def test_areas_by_the_spacing_that_there_is(
    examiner: Examiner[Path], tmp_path: Path, attributes: dict[str, object], pixel_mm2: float | None
):
    examination = examined(examiner, with_lesion(**attributes), tmp_path)
    assert examination.findings[0].area_mm2 == (None if pixel_mm2 is None else pytest.approx(120 * pixel_mm2))


def test_the_gate_declines_what_looks_like_no_chest(examiner: Examiner[Path], tmp_path: Path):
    falsely_tagged = datasets.chest(100, 90, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    examination = examined(examiner, falsely_tagged, tmp_path)
    assert examination.status is Status.DECLINED
    assert examination.reason is Reason.LOOKS_UNLIKE_A_FRONTAL_CHEST
    assert examination.findings == ()


def test_what_waits_for_the_model_goes_to_it_together(tmp_path: Path):
    predictor = ThresholdPredictor()
    with Examiner[int](LIMITS, SelectSection(), predictor) as examiner:
        for number in range(5):
            path = datasets.write(datasets.chest(), tmp_path, f"{number}.dcm")
            examiner.submit(number, DecodeRequest(path=path, arrived=TODAY))
        wait_for("every file to be read", lambda: all(future.done() for future in examiner._decoding))
        first = examiner.finished(timeout=20)
        second = examiner.finished(timeout=20)
    assert predictor.batches == [LIMITS.batch_size, 5 - LIMITS.batch_size]
    assert sorted(key for key, _ in first + second) == [0, 1, 2, 3, 4]


def test_files_are_read_while_the_model_predicts_and_then_fill_a_batch(tmp_path: Path):
    predictor = ThresholdPredictor()
    predictor.go.clear()
    moved = threading.Event()
    with Examiner[int](LIMITS, SelectSection(), predictor, on_progress=moved.set) as examiner:
        for number in range(5):
            path = datasets.write(datasets.chest(), tmp_path, f"{number}.dcm")
            examiner.submit(number, DecodeRequest(path=path, arrived=TODAY))
            wait_for("it to be read", lambda: (examiner.finished(0), len(examiner._decoding) == 0)[1])
        assert moved.is_set()
        assert examiner.under_way == 5
        assert examiner.finished(0) == []
        predictor.go.set()
        ended: list[int] = []
        while examiner.under_way:
            ended += [key for key, _ in examiner.finished(timeout=20)]
    assert predictor.batches == [1, LIMITS.batch_size, 1], "the first film waited for nobody"
    assert sorted(ended) == [0, 1, 2, 3, 4]


def test_a_model_that_prepares_one_batch_beside_another_is_given_two(tmp_path: Path):
    predictor = ThresholdPredictor()
    predictor.go.clear()
    with Examiner[int](LIMITS, SelectSection(), predictor) as examiner:
        examiner.lanes = 2
        for number in range(2):
            path = datasets.write(datasets.chest(), tmp_path, f"{number}.dcm")
            examiner.submit(number, DecodeRequest(path=path, arrived=TODAY))
            wait_for("it to be read", lambda: (examiner.finished(0), len(examiner._decoding) == 0)[1])
        wait_for("both batches to be with the model", lambda: predictor.waiting == 2)
        predictor.go.set()
        while examiner.under_way:
            examiner.finished(timeout=20)
    assert predictor.batches == [1, 1]


def test_it_says_where_the_time_of_a_film_went(examiner: Examiner[Path], tmp_path: Path):
    examination = examined(examiner, with_lesion(), tmp_path)
    assert set(examination.spent) == {"line", "decode", "turn", "predict", "batch"}
    assert all(seconds >= 0 for seconds in examination.spent.values())
    assert examination.spent["predict"] == examination.spent["batch"], "it was alone in its batch"


def test_whoever_asks_may_want_no_prediction(examiner: Examiner[Path], tmp_path: Path):
    asked: list[Decoded] = []
    path = datasets.write(with_lesion(), tmp_path)
    examiner.submit(
        path, DecodeRequest(path=path, arrived=TODAY), wants_prediction=lambda decoded: bool(asked.append(decoded))
    )
    ((_, examination),) = examiner.finished(timeout=20)
    assert examination.status is Status.READ
    assert asked[0].picture_digest == examination.picture_digest
    assert examination.prediction is None


def test_closing_waits_for_nobody(tmp_path: Path):
    with Examiner[int](LIMITS, SelectSection(), ThresholdPredictor()) as examiner:
        for number in range(4):
            path = bad_files.empty_items(tmp_path, 1_000_000)
            examiner.submit(number, DecodeRequest(path=path, arrived=TODAY))
    assert examiner.under_way == 0


@pytest.mark.parametrize(
    ("dataset", "clean", "kinds"),
    [
        (
            with_lesion(),
            Clean.NOTHING,
            {Profile.STRICT: [Kind.SEG, Kind.SC], Profile.CLASSIC_PACS: [Kind.SC, Kind.GSPS]},
        ),
        (datasets.chest(100, 90), Clean.ONCE, {Profile.STRICT: [Kind.SC], Profile.CLASSIC_PACS: []}),
        (datasets.chest(100, 90), Clean.EVERYWHERE, {Profile.STRICT: [Kind.SC], Profile.CLASSIC_PACS: [Kind.SC]}),
        (datasets.chest(100, 90), Clean.NOTHING, {Profile.STRICT: [], Profile.CLASSIC_PACS: []}),
    ],
)
def test_results_of_a_finding_and_of_none(
    examiner: Examiner[Path], tmp_path: Path, dataset: Dataset, clean: Clean, kinds: dict[Profile, list[Kind]]
):
    encoding = Encoding(
        manifest=MANIFEST, model=ModelSection(), results=ResultsSection(clean=clean), parameters="0" * 64
    )
    examination = examined(examiner, dataset, tmp_path)
    assert examination.header is not None
    assert examination.film is not None
    results = list(
        encoding.encode(
            kinds,
            header=examination.header,
            film=examination.film,
            findings=examination.findings,
            input_digest="1" * 64,
            content_time=datetime(2025, 3, 5, tzinfo=UTC),
        )
    )
    assert {profile: [one.kind for one in results if one.profile is profile] for profile in kinds} == kinds


def test_a_presentation_state_shows_the_window_of_the_film_where_the_source_has_none(
    examiner: Examiner[Path], tmp_path: Path
):
    encoding = Encoding(manifest=MANIFEST, model=ModelSection(), results=ResultsSection(), parameters="0" * 64)
    lesion = with_lesion()
    del lesion.WindowCenter, lesion.WindowWidth
    examination = examined(examiner, lesion, tmp_path)
    assert examination.header is not None
    assert examination.film is not None
    assert examination.film.window is not None
    *_, state = encoding.encode(
        [Profile.CLASSIC_PACS],
        header=examination.header,
        film=examination.film,
        findings=examination.findings,
        input_digest="1" * 64,
        content_time=datetime(2025, 3, 5, tzinfo=UTC),
    )
    (voi,) = dcmread(BytesIO(state.data)).SoftcopyVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth) == pytest.approx(examination.film.window[:2])


def test_a_threshold_at_which_the_model_was_never_validated_is_refused():
    require_threshold(ModelSection(threshold=0.3), MANIFEST)
    require_threshold(ModelSection(), MANIFEST)
    with pytest.raises(ConfigurationError, match=r"model\.threshold"):
        require_threshold(ModelSection(threshold=0.9), MANIFEST)


def test_a_source_s_threshold_at_which_the_model_was_never_validated_is_refused():
    def settings(threshold: float) -> Settings:
        ward = PeerSection(
            name="ward",
            ae_title="WARD",
            sends=True,
            allow_from=("127.0.0.1",),
            results_to=("pacs",),
            threshold=threshold,
        )
        return Settings(peers=(ward, PeerSection(name="pacs", ae_title="PACS", host="127.0.0.1", mode="hold")))

    require_thresholds(settings(0.3), MANIFEST)
    with pytest.raises(ConfigurationError, match=r"peers\.ward\.threshold is 0\.9, .* from 0\.3 to 0\.8"):
        require_thresholds(settings(0.9), MANIFEST)


@pytest.mark.data
def test_real_files_come_out_right(data: Path):
    paths = sorted((data / "dicom").iterdir())
    predictor = ThresholdPredictor(gate=False)
    ended = examine(paths, predictor, limits=LIMITS, rules=SelectSection(), today=TODAY)
    examinations = {one.path.stem: one for one in ended}
    reasons = {name: one.reason for name, one in examinations.items() if one.status is not Status.ANALYSED}
    assert reasons == {
        "bad_cr_chest_nopixel_japanese": Reason.NO_PIXELS,
        "neg_cr_hip_jpegls": Reason.NOT_A_CHEST,
        "neg_cr_leg_mono1_rle": Reason.NOT_A_CHEST,
        "neg_mg_voilut": Reason.NOT_A_CHEST,
        "neg_rf_ercp": Reason.NOT_A_RADIOGRAPH,
        "neg_xa_96frames_jpeg": Reason.NOT_A_RADIOGRAPH,
    }
    assert examinations["bad_cr_chest_nopixel_japanese"].sop_instance_uid
