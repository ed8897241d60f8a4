"""A real child, and files that hurt: each is a reason, and the next file is read as if nothing had happened."""

import os
import signal
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless

from dicom_node.analyse.decode import Decoded, Decoder, DecodeRequest
from dicom_node.domain import Reason
from dicom_node.encode.identity import read_text
from dicom_node.errors import DecoderUnavailable
from dicom_node.sections import AnalyseSection, SelectSection
from model.film import film_from
from tests import datasets
from tests.analyse import bad_files

LIMITS = AnalyseSection(decode_timeout=120, decode_cpu_seconds=1, decode_memory=512 << 20)
TODAY = date(2025, 3, 4)


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(LIMITS, SelectSection()) as decoder:
        yield decoder


def read(decoder: Decoder, path: Path, *, alone: bool = False) -> Decoded:
    return decoder.decode(DecodeRequest(path=path, arrived=TODAY, alone=alone))


def goes_on(decoder: Decoder, folder: Path) -> bool:
    """A good file is read after the bad one."""
    return read(decoder, datasets.write(datasets.chest(), folder, "good.dcm")).reason is None


def test_a_chest_is_read_with_its_film_header_and_digest(decoder: Decoder, tmp_path: Path):
    dataset = datasets.chest(100, 90, PatientName="Müller^Ägidius")
    decoded = read(decoder, datasets.write(dataset, tmp_path))
    assert decoded.reason is None
    assert decoded.film is not None
    np.testing.assert_array_equal(decoded.film.pixels, film_from(dataset).pixels)
    assert decoded.film.window == film_from(dataset).window == (2048, 4096, "LINEAR")
    assert decoded.sop_instance_uid == dataset.SOPInstanceUID
    assert decoded.series_instance_uid == dataset.SeriesInstanceUID
    assert decoded.study_instance_uid == dataset.StudyInstanceUID
    assert decoded.spacing_mm == (0.15, 0.15)
    assert decoded.header is not None
    assert decoded.header.PatientName == "Müller^Ägidius"
    assert read_text(decoded.header, "AccessionNumber") == "A-1001"
    assert "PixelData" not in decoded.header
    assert "Rows" not in decoded.header, "only what results copy leaves the child"


def test_padding_comes_back_as_the_invalid_part(decoder: Decoder, tmp_path: Path):
    dataset = datasets.chest(100, 90)
    pixels = datasets.film(100, 90)
    pixels[:, :7] = 4000
    dataset.PixelData = pixels.tobytes()
    dataset.add_new("PixelPaddingValue", "US", 4000)
    film = read(decoder, datasets.write(dataset, tmp_path)).film
    assert film is not None
    assert film.valid is not None
    assert not film.valid[:, :7].any()
    assert film.valid[:, 7:].all()


def test_the_picture_digest_is_that_of_the_picture_alone(decoder: Decoder, tmp_path: Path):
    dataset = datasets.chest(100, 90)
    original = read(decoder, datasets.write(dataset, tmp_path, "1.dcm"))
    dataset.PatientName = "Corrected^Name"
    renamed = read(decoder, datasets.write(dataset, tmp_path, "2.dcm"))
    compressed = read(decoder, datasets.write(datasets.in_syntax(dataset, JPEGLSLossless), tmp_path, "3.dcm"))
    dataset.PixelData = datasets.film(100, 90)[::-1].copy().tobytes()
    upside_down = read(decoder, datasets.write(dataset, tmp_path, "4.dcm"))
    assert original.picture_digest == renamed.picture_digest == compressed.picture_digest
    assert original.picture_digest != upside_down.picture_digest


@pytest.mark.parametrize("syntax", datasets.TRANSFER_SYNTAXES)
def test_every_transfer_syntax_is_read(decoder: Decoder, tmp_path: Path, syntax: str):
    dataset = datasets.in_syntax(datasets.chest(100, 90), syntax)
    decoded = read(decoder, datasets.write(dataset, tmp_path))
    assert decoded.reason is None, decoded.detail
    assert decoded.film is not None
    assert decoded.film.pixels.shape == (100, 90)


def test_without_preamble_it_is_read_too(decoder: Decoder, tmp_path: Path):
    path = tmp_path / "bare"
    path.write_bytes(datasets.data_set_bytes(datasets.chest()))
    assert read(decoder, path).film is not None


def test_a_declined_image_is_told_without_its_pixels(decoder: Decoder, tmp_path: Path):
    dataset = datasets.chest(BodyPartExamined="HIP", PixelData=None)
    decoded = read(decoder, datasets.write(dataset, tmp_path))
    assert decoded.reason is Reason.NOT_A_CHEST
    assert decoded.sop_instance_uid == dataset.SOPInstanceUID


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", Reason.NOT_DICOM),
        (b"a letter, perhaps, of a length that no preamble has. " * 9, Reason.NOT_DICOM),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, Reason.NOT_DICOM),
        (b"\0" * 128 + b"DICM", Reason.NOT_A_RADIOGRAPH),
    ],
)
def test_what_is_no_radiograph_at_all(decoder: Decoder, tmp_path: Path, octets: bytes, reason: Reason):
    path = tmp_path / "file"
    path.write_bytes(octets)
    assert read(decoder, path).reason is reason


def test_a_missing_file_is_a_reason(decoder: Decoder, tmp_path: Path):
    assert read(decoder, tmp_path / "absent").reason is Reason.NOT_DICOM


def test_no_pixel_data(decoder: Decoder, tmp_path: Path):
    assert read(decoder, datasets.write(datasets.chest(PixelData=None), tmp_path)).reason is Reason.NO_PIXELS


def test_deflated_is_refused_before_anything_is_inflated(decoder: Decoder, tmp_path: Path):
    dataset = datasets.chest()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert read(decoder, datasets.write(dataset, tmp_path)).reason is Reason.UNSUPPORTED_TRANSFER_SYNTAX


@pytest.mark.parametrize(
    ("keep", "syntax"), [(0.3, JPEGLSLossless), (0.7, "1.2.840.10008.1.2.1"), (0.004, "1.2.840.10008.1.2.1")]
)
def test_a_file_that_ends_too_early(decoder: Decoder, tmp_path: Path, keep: float, syntax: str):
    decoded = read(decoder, bad_files.cut(tmp_path, keep=keep, syntax=syntax))
    assert decoded.reason is Reason.TRUNCATED


def test_four_gigabytes_that_are_three_bytes(decoder: Decoder, tmp_path: Path):
    assert read(decoder, bad_files.lying_length(tmp_path)).reason is Reason.TRUNCATED


def test_a_lie_in_rows_and_columns(decoder: Decoder, tmp_path: Path):
    assert read(decoder, datasets.write(datasets.chest(Rows=65535, Columns=65535), tmp_path)).reason is Reason.TOO_LARGE


def test_an_odd_us_and_an_unknown_vr(decoder: Decoder, tmp_path: Path):
    odd = bad_files.with_raw(tmp_path, "odd.dcm", bad_files.raw_element(0x0008, 0x0040, b"US", b"abc"))
    strange = bad_files.with_raw(tmp_path, "vr.dcm", bad_files.raw_element(0x0008, 0x0040, b"ZQ", b"abcd"))
    assert read(decoder, odd).reason is None, "an attribute that nobody needs hurts nobody"
    assert read(decoder, strange).reason is None
    rows = datasets.write(datasets.chest(), tmp_path, "rows.dcm")
    octets = rows.read_bytes().replace(
        bad_files.raw_element(0x0028, 0x0010, b"US", b"\x40\0"),
        bad_files.raw_element(0x0028, 0x0010, b"US", b"\x40\0\0"),
    )
    rows.write_bytes(octets)
    assert read(decoder, rows).reason is Reason.DECODE_FAILED


def test_sequences_nested_a_thousand_deep(decoder: Decoder, tmp_path: Path):
    assert read(decoder, bad_files.nested(tmp_path, 1000)).reason is Reason.DECODE_LIMIT
    assert goes_on(decoder, tmp_path)


def test_two_million_items_end_at_the_limit_of_cpu_time(decoder: Decoder, tmp_path: Path):
    decoded = read(decoder, bad_files.empty_items(tmp_path, 2_000_000))
    assert decoded.reason is Reason.DECODE_LIMIT
    assert "decode_cpu_seconds" in decoded.detail
    assert goes_on(decoder, tmp_path)


def test_a_picture_that_needs_more_memory_than_there_is(decoder: Decoder, tmp_path: Path):
    decoded = read(decoder, bad_files.small_file_large_picture(tmp_path))
    assert decoded.reason in (Reason.DECODE_LIMIT, Reason.DECODE_FAILED)
    assert decoded.sop_instance_uid, "the header was told before the pixels hurt"
    assert goes_on(decoder, tmp_path)


def crash_it(decoder: Decoder, number: signal.Signals) -> None:
    """The child is stopped, so that the next request waits for it; it goes on by dying of this signal."""
    os.kill(decoder.pid, signal.SIGSTOP)
    threading.Thread(target=_after_a_request_is_sent, args=(decoder.pid, number), daemon=True).start()


def _after_a_request_is_sent(pid: int, number: signal.Signals) -> None:
    os.kill(pid, number)
    os.kill(pid, signal.SIGCONT)


def test_a_child_that_crashes_over_its_first_file_is_a_reason(tmp_path: Path):
    path = datasets.write(datasets.chest(), tmp_path)
    with started() as decoder:
        crash_it(decoder, signal.SIGSEGV)
        decoded = read(decoder, path)
        assert (decoded.reason, decoded.transient) == (Reason.DECODE_FAILED, False)
        assert "SIGSEGV" in decoded.detail
        assert goes_on(decoder, tmp_path)


def test_a_child_that_an_earlier_file_may_have_hurt_gives_the_next_one_a_second_chance(tmp_path: Path):
    path = datasets.write(datasets.chest(), tmp_path)
    with started() as decoder:
        read(decoder, path)
        before = decoder.pid
        crash_it(decoder, signal.SIGABRT)
        assert read(decoder, path).reason is None
        assert decoder.pid != before


def test_a_child_killed_from_outside_says_nothing_of_the_file(tmp_path: Path):
    with started() as decoder:
        crash_it(decoder, signal.SIGKILL)
        decoded = read(decoder, datasets.write(datasets.chest(), tmp_path))
        assert decoded.transient
        assert decoded.reason is Reason.DECODE_LIMIT


def test_a_child_that_hangs_is_killed_at_the_deadline(tmp_path: Path):
    with started(decode_timeout=0.3) as decoder:
        stuck = decoder.pid
        os.kill(stuck, signal.SIGSTOP)
        decoded = read(decoder, datasets.write(datasets.chest(), tmp_path))
        assert decoded.reason is Reason.DECODE_LIMIT
        assert "decode_timeout" in decoded.detail
        assert not Path(f"/proc/{stuck}").exists(), "it is gone, and reaped"


def test_whoever_stops_the_node_does_not_fail_what_is_being_decoded(tmp_path: Path):
    with started() as decoder:
        before = decoder.pid
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(before, number)
        assert goes_on(decoder, tmp_path)
        assert decoder.pid == before


def test_a_file_that_was_tried_before_gets_a_child_of_its_own(tmp_path: Path):
    path = datasets.write(datasets.chest(), tmp_path)
    with started() as decoder:
        before = decoder.pid
        read(decoder, path, alone=True)
        assert decoder.pid == before, "a child that served nobody is as good as a new one"
        read(decoder, path, alone=True)
        assert decoder.pid != before


def test_a_child_that_cannot_start_is_an_error_of_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    broken = tmp_path / "pydicom.py"
    broken.write_text("raise ImportError('pydicom is broken')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Decoder(LIMITS, SelectSection()) as decoder, pytest.raises(DecoderUnavailable, match="did not start"):
        read(decoder, tmp_path / "any")
    assert "pydicom is broken" in capfd.readouterr().err


def test_the_child_loads_no_torch_and_ends_with_its_parent(tmp_path: Path):
    with started() as decoder:
        pid = decoder.pid
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "libtorch" not in maps
        assert "sqlalchemy" not in maps
    assert not Path(f"/proc/{pid}").exists()


def started(**limits: object) -> Decoder:
    """A decoder of its own, whose child is there."""
    decoder = Decoder(LIMITS.model_copy(update=limits), SelectSection())
    decoder.await_child()
    return decoder
