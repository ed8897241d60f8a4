"""A worker that stands still past its lease, and a file that hurts among 99 that do not."""

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from tests import datasets
from tests.faults import trials
from tests.faults.hospital import LONG, Hospital
from tests.waiting import wait_for


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Hospital]:
    with Hospital(tmp_path, lease=6.0) as made:
        made.start()
        yield made


def test_a_worker_frozen_in_mid_work_wakes_up_too_late(site: Hospital) -> None:
    outcome = trials.worker_frozen_in_mid_work(site, random.Random(1))
    assert (outcome.lost, outcome.duplicated) == ((), ())


def test_one_poisonous_file_among_99(site: Hospital, tmp_path: Path) -> None:
    study = datasets.chest().StudyInstanceUID
    poison = datasets.chest(StudyInstanceUID=study)
    (tmp_path / "poison.dcm").write_bytes(_with_endless_sequence(poison))
    neighbours = [datasets.chest(StudyInstanceUID=study, InstanceNumber=number) for number in range(1, 100)]
    site.send_together([datasets.write(each, tmp_path) for each in neighbours[:50]])
    site.send_together([tmp_path / "poison.dcm", *(datasets.write(each, tmp_path) for each in neighbours[50:])])
    wait_for("every job to end", lambda: site.ended() == 100, seconds=LONG, every=0.2)
    ended = site.ask(
        "SELECT i.sop_instance_uid, j.state, j.reason_code FROM job j JOIN instance i ON i.id = j.instance_id"
    )
    hurt = [row for row in ended if row[1] != "done"]
    assert hurt == [(poison.SOPInstanceUID, "unreadable", "decode_limit")]
    assert {uid for uid, *_ in ended} == {poison.SOPInstanceUID, *(each.SOPInstanceUID for each in neighbours)}


def _with_endless_sequence(dataset: Dataset) -> bytes:
    """A file with two million items in front of its pixels: whoever parses it is at it until stopped."""
    whole = datasets.file_bytes(dataset)
    pixels = whole.rindex(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 2_000_000
    start, end = struct.pack("<HH2sHI", 0x5400, 0x0100, b"SQ", 0, 0xFFFFFFFF), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return whole[:pixels] + start + items + end + whole[pixels:]
