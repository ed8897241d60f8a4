"""Encoding in processes of their own: the same bytes, and whatever happens to one, the next image is encoded."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from dicom_node.analyse.encoders import Encoders, EncodingFailed
from dicom_node.analyse.order import Order
from dicom_node.analyse.results import Encoding
from dicom_node.domain import Finding, Kind, Profile
from dicom_node.encode import kept
from dicom_node.encode.identity import header_of
from dicom_node.errors import EncoderUnavailable, OutOfRoom, Unreadable
from dicom_node.sections import ModelSection, ResultsSection
from dicom_node.spool import Spool
from model.contract import Film
from tests.analyse.conftest import with_lesion
from tests.analyse.fakes import MANIFEST, EncodesHere
from tests.disks import fill, small_disk
from tests.waiting import wait_for


def order(**attributes: object) -> Order:
    """A film of 100 × 90 with one finding."""
    header = header_of(with_lesion(**attributes))
    return Order(
        encoding=Encoding(manifest=MANIFEST, model=ModelSection(), results=ResultsSection(), parameters="0" * 64),
        profiles=(Profile.STRICT, Profile.CLASSIC_PACS),
        header=header,
        film=Film(pixels=np.full((100, 90), 1000, np.uint16), valid=np.ones((100, 90), np.bool_)),
        findings=(
            Finding(box=(14, 20, 24, 32), confidence=0.9, mask_origin=(20, 14), mask=np.ones((12, 10), np.bool_)),
        ),
        input_digest="1" * 64,
        content_time=datetime(2025, 3, 5, tzinfo=UTC),
        packed_header=kept.pack(header),
    )


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Spool:
    return Spool(tmp_path_factory.mktemp("encoders") / "spool")


@pytest.fixture(scope="module")
def encoders(spool: Spool) -> Iterator[Encoders]:
    with Encoders(spool.path("0" * 32).parents[2], 1) as encoders:
        yield encoders


def test_the_bytes_are_those_of_an_encoder_without_a_process(encoders: Encoders, spool: Spool):
    wanted = order(PatientName="Grün^Ärger", SpecificCharacterSet="ISO_IR 100")
    there, here = encoders.encode(wanted), EncodesHere(spool).encode(wanted)
    assert [one.result.kind for one in there.objects] == [Kind.SEG, Kind.SC, Kind.SC, Kind.GSPS]
    assert [(one.result, one.digest) for one in there.objects] == [(one.result, one.digest) for one in here.objects]
    for one, other in zip(there.objects, here.objects, strict=True):
        assert spool.read(one.spool_key) == spool.read(other.spool_key)
        assert one.spool_key != other.spool_key
    assert spool.read(there.header_key) == wanted.packed_header


def test_what_cannot_be_encoded_is_told_and_the_process_goes_on(encoders: Encoders):
    (pid,) = encoders.pids
    with pytest.raises(Unreadable, match="SeriesInstanceUID"):
        encoders.encode(order(SeriesInstanceUID=None))
    with pytest.raises(EncodingFailed, match=r"^ValueError at .*findings\.py"):
        encoders.encode(replace(order(), film=Film(pixels=np.zeros((8, 8), np.uint16))))
    assert encoders.encode(order()).objects
    assert encoders.pids == [pid]


def test_an_encoder_that_was_killed_is_replaced(encoders: Encoders):
    assert encoders.encode(order()).objects
    (pid,) = encoders.pids
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EncodingFailed, match="ended over it"):
        encoders.encode(order())
    assert encoders.encode(order()).objects
    assert encoders.pids != [pid]


def test_signals_that_stop_the_node_do_not_stop_it(encoders: Encoders):
    assert encoders.encode(order()).objects
    (pid,) = encoders.pids
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    assert encoders.encode(order()).objects
    assert encoders.pids == [pid]


def test_a_full_disk_is_told_as_such(tmp_path: Path):
    with small_disk(tmp_path, megabytes=24) as disk, Encoders(disk / "spool", 1) as encoders:
        assert encoders.encode(order()).objects
        filler = fill(disk, leave=1 << 20)
        with pytest.raises(OutOfRoom):
            encoders.encode(order())
        filler.unlink()
        assert encoders.encode(order()).objects


def test_closed_they_leave_no_process_and_no_name_that_was_not_used(tmp_path: Path):
    with Encoders(tmp_path / "spool", 1) as encoders:
        made = encoders.encode(order())
        (pid,) = encoders.pids
    wait_for("the process to be gone", lambda: not Path(f"/proc/{pid}").exists())
    files = {path.name for path in (tmp_path / "spool" / "objects").glob("*/*")}
    assert files == {made.header_key, *(one.spool_key for one in made.objects)}
    with pytest.raises(EncoderUnavailable):
        encoders.encode(order())
