"""A large image decoded at half its resolution: results at its own size, versions compared by all of the picture."""

from collections.abc import Iterator
from datetime import date
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.analyse.again import Again
from dicom_node.analyse.answer import ENOUGH
from dicom_node.analyse.decode import Decoder
from dicom_node.analyse.decoded import Decoded, DecodeRequest
from dicom_node.analyse.picture import of_all
from dicom_node.config import Settings
from dicom_node.domain import InstanceState, JobState, Kind, Profile, Reason
from dicom_node.encode import overlay
from dicom_node.ledger import findings, reports, results
from dicom_node.ledger.instances import Recorded
from dicom_node.sections import AnalyseSection, SelectSection
from model.film import film_from
from model.reduced import brought_down
from model.weights import describe
from tests import datasets
from tests.analyse.bench import Bench
from tests.analyse.fakes import MANIFEST

#: large enough to be halved, and as narrow as a film may be, so that it is quickly made
ROWS, COLUMNS = 4096, 90


def pixels() -> NDArray[np.uint16]:
    """A chest with a bright square of 12 columns and 100 rows, and some lines of one grey."""
    values = datasets.film(ROWS, COLUMNS)
    values[800:900, 14:26] = 4095
    values[:64] = 1000
    return values


def large(values: NDArray[np.uint16] | None = None, **attributes: object) -> Dataset:
    dataset = datasets.chest(ROWS, COLUMNS, **attributes)
    dataset.PixelData = (pixels() if values is None else values).tobytes()
    return dataset


def compressed(dataset: Dataset) -> Dataset:
    return datasets.in_syntax(dataset, JPEG2000Lossless)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(AnalyseSection(decode_timeout=120, decode_memory=512 << 20), SelectSection()) as decoder:
        yield decoder


def read(decoder: Decoder, dataset: Dataset, folder: Path, *, reduced: bool) -> Decoded:
    path = datasets.write(dataset, folder)
    return decoder.decode(DecodeRequest(path=path, arrived=date(2025, 3, 4), reduced=reduced))


def test_enough_is_what_the_secondary_capture_and_the_network_need() -> None:
    assert overlay._LONGEST == ENOUGH
    assert max(describe().looks["sizes"]) * 2 <= ENOUGH


def test_the_parent_gets_half_of_a_large_film_and_is_told_its_size(decoder: Decoder, tmp_path: Path):
    dataset = large()
    expected = brought_down(film_from(dataset), ENOUGH)
    for reduced in (False, True):
        decoded = read(decoder, dataset, tmp_path, reduced=reduced)
        assert decoded.film is not None
        assert decoded.film.shape == (ROWS, COLUMNS)
        np.testing.assert_array_equal(decoded.film.pixels, expected.pixels)
        assert decoded.picture_digest is not None
        assert of_all(decoded.picture_digest), "all of it was decoded, whatever was handed on"


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, RLELossless, JPEG2000Lossless])
def test_the_digest_is_that_of_all_of_the_picture_in_every_lossless_syntax(
    decoder: Decoder, tmp_path: Path, syntax: UID
):
    plain = read(decoder, large(), tmp_path, reduced=False)
    other = read(decoder, datasets.in_syntax(large(), syntax), tmp_path, reduced=False)
    assert plain.picture_digest == other.picture_digest


def test_what_was_decoded_in_part_has_a_digest_that_says_so(decoder: Decoder, tmp_path: Path):
    first = read(decoder, compressed(large()), tmp_path, reduced=True)
    again = read(decoder, compressed(large()), tmp_path, reduced=True)
    assert first.film is not None
    assert first.film.pixels.shape == (ROWS // 2, COLUMNS // 2)
    assert first.film.shape == (ROWS, COLUMNS)
    assert first.picture_digest is not None
    assert first.picture_digest.endswith(":2048x45")
    assert not of_all(first.picture_digest)
    assert first.picture_digest == again.picture_digest


def test_padding_is_told_at_the_size_of_the_pixels(decoder: Decoder, tmp_path: Path):
    values = pixels()
    values[:, :7] = 4000
    padded = large(values)
    padded.add_new("PixelPaddingValue", "US", 4000)
    film = read(decoder, compressed(padded), tmp_path, reduced=True).film
    assert film is not None
    assert film.valid is not None
    assert film.pixels.shape == film.valid.shape == (ROWS // 2, COLUMNS // 2)
    assert not film.valid[:, :4].any()
    assert film.valid[:, 4:].all()


def analysed(bench: Bench, dataset: Dataset) -> Recorded:
    arrived = bench.node.arrive(dataset)
    bench.work()
    return arrived


def test_results_have_the_size_of_the_source(bench: Bench):
    arrived = analysed(bench, compressed(large()))
    assert bench.job(arrived.instance_id).state is JobState.DONE
    digest = bench.instance(arrived.instance_id).picture_digest
    assert digest is not None
    assert not of_all(digest)
    with bench.node.ledger.reading() as tx:
        (found,) = findings.of_job(tx, bench.job(arrived.instance_id).job_id)
        stored = {row.kind: row for row in results.of_study(tx, arrived.study_id)}
    # a bright edge reaches as far as the wavelet does, two pixels
    assert found.box == pytest.approx((14, 800, 26, 900), abs=2)
    seg = pydicom.dcmread(BytesIO(bench.node.spool.read(stored[Kind.SEG].spool_key)))
    assert (seg.Rows, seg.Columns) == (ROWS, COLUMNS)
    rows, columns = np.nonzero(seg.pixel_array)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == found.box
    sc = pydicom.dcmread(BytesIO(bench.node.spool.read(stored[Kind.SC].spool_key)))
    assert max(sc.Rows, sc.Columns) <= ENOUGH


def test_the_same_picture_in_another_lossless_syntax_is_the_same(bench: Bench):
    dataset = large()
    first = analysed(bench, compressed(dataset))
    looked = len(bench.predictor.batches)
    dataset.AccessionNumber = "A-2002"
    second = analysed(bench, dataset)
    assert bench.job(second.instance_id).state is JobState.DONE
    assert bench.instance(second.instance_id).is_current
    assert len(bench.predictor.batches) == looked, "nobody looked again"
    with bench.node.ledger.reading() as tx:
        stored = results.of_study(tx, first.study_id)
    assert {row.job_id for row in stored} == {bench.job(second.instance_id).job_id}
    dataset.ImageComments = "and compressed again"
    third = analysed(bench, compressed(dataset))
    assert bench.job(third.instance_id).state is JobState.DONE
    assert len(bench.predictor.batches) == looked
    digest = bench.instance(third.instance_id).picture_digest
    assert digest is not None
    assert of_all(digest), "what is compared is read in full"


def test_a_picture_that_differs_where_the_lower_resolution_does_not_is_another(
    bench: Bench, decoder: Decoder, tmp_path: Path
):
    dataset, changed = large(), pixels()
    changed[33, 33] += 1
    other = large(changed)
    low = [read(decoder, compressed(one), tmp_path, reduced=True).picture_digest for one in (dataset, other)]
    assert low[0] == low[1], "else this proves nothing"
    first = analysed(bench, compressed(dataset))
    other.SOPInstanceUID, other.StudyInstanceUID = dataset.SOPInstanceUID, dataset.StudyInstanceUID
    second = analysed(bench, compressed(other))
    quarantined = bench.instance(second.instance_id)
    assert (quarantined.state, quarantined.reason) == (InstanceState.QUARANTINED, Reason.DIFFERENT_PICTURE)
    assert bench.instance(first.instance_id).is_current


def test_where_the_earlier_bytes_are_gone_a_person_decides(bench: Bench):
    dataset = large()
    first = analysed(bench, compressed(dataset))
    bench.node.spool.path(bench.instance(first.instance_id).spool_key).unlink()
    dataset.ImageComments = "the same picture, but who can tell"
    second = analysed(bench, dataset)
    assert bench.instance(second.instance_id).state is InstanceState.QUARANTINED


def without_reduction(settings: Settings) -> Settings:
    return settings.model_copy(update={"analyse": settings.analyse.model_copy(update={"reduced_resolution": False})})


def test_a_site_may_have_everything_read_in_full(bench: Bench):
    bench.start(without_reduction(bench.node.settings), MANIFEST)
    arrived = analysed(bench, compressed(large()))
    digest = bench.instance(arrived.instance_id).picture_digest
    assert digest is not None
    assert of_all(digest)


@pytest.mark.parametrize("reduced", [True, False])
def test_encoded_again_it_is_the_same_bytes_whatever_the_setting_says_today(bench: Bench, reduced: bool):
    settings = bench.node.settings
    first, later = (settings, without_reduction(settings)) if reduced else (without_reduction(settings), settings)
    bench.start(first, MANIFEST)
    arrived = analysed(bench, compressed(large()))
    with bench.node.ledger.reading() as tx:
        (outcome,) = reports.outcomes(tx, arrived.study_id)
        stored = {row.sop_instance_uid: row.digest for row in results.of_study(tx, arrived.study_id)}
    with Again(bench.node.ledger, bench.node.spool, later) as again:
        encoded = again.encode(outcome, Profile.STRICT, now=bench.now)
    assert {one.sop_instance_uid: one.digest for one in encoded} == stored


def test_the_uncompressed_one_is_no_other_than_before(bench: Bench):
    arrived = analysed(bench, large())
    assert UID(bench.instance(arrived.instance_id).transfer_syntax_uid) == ExplicitVRLittleEndian
    digest = bench.instance(arrived.instance_id).picture_digest
    assert digest is not None
    assert of_all(digest)
