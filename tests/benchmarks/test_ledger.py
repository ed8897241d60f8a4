"""What the ledger's benchmark asks can be asked, of ledgers that it filled itself; figures are the benchmark's."""

from pathlib import Path

import pytest

from benchmarks import ledger
from benchmarks.ledger_rows import fill
from benchmarks.ledger_work import WORK
from dicom_node.domain import DeliveryState, JobState, StudyState
from dicom_node.ledger import Ledger, census


def test_a_filled_ledger_has_what_was_asked_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'filled.sqlite'}"
    now = fill(url, history=20, waiting=10)
    opened = Ledger.open(url)
    with opened.reading() as tx:
        counts = census.counts(tx)
    opened.close()
    assert counts["study"] == {StudyState.CONCLUDED.value: 10, StudyState.OPEN.value: 5}
    assert counts["job"] == {JobState.DONE.value: 20, JobState.QUEUED.value: 10}
    assert counts["delivery"] == {DeliveryState.STORED.value: 20, DeliveryState.PENDING.value: 10}
    assert now > 15 * 30


def test_all_of_the_work_is_measured_at_every_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_ROUNDS", 2)
    monkeypatch.setattr(ledger, "_WARM_UP", 1)
    urls = [f"sqlite:///{tmp_path / name}.sqlite" for name in ("small", "large")]
    measured = ledger._measure(urls, [(20, 10), (60, 10)], (20, 60), "SQLite", lambda what: None)
    assert set(measured) == set(WORK)
    assert all(len(taken) == 2 and min(taken) > 0 for each in measured.values() for taken in each.values())
