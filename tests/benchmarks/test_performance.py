"""What `make bench` keeps and tells."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.measure import cpu_seconds, descendants, median_ratio, percentile, resident_bytes
from benchmarks.performance import Run, against, document, draw
from benchmarks.record import Outcome, Plot, Row, Section, Table, load, save

_FASTER = Row(
    section=Section.RECEIVE,
    name="15 MB, ours ÷ theirs",
    reached=4.0,
    unit="×",
    target=5.0,
    command="python -m benchmarks.receive",
    figures={"ours": "400 MB/s", "theirs": "100 MB/s"},
    note="the hash bounds it",
)
_LESS = Row(
    section=Section.REST, name="CPU", reached=1.5, unit="s/GB", target=2.0, more_is_better=False, command="python"
)
_OUTCOME = Outcome(
    rows=[_FASTER, _LESS],
    tables=[Table(section=Section.ANALYSE, title="Stages", head=["stage", "ms"], rows=[["decode|read", "12"]])],
    plots=[
        Plot(
            section=Section.LEDGER,
            name="claim",
            title="Claim",
            x="rows",
            y="ms",
            lines={"SQLite": [(1e3, 0.4), (1e6, 0.5)]},
            logarithmic=True,
        )
    ],
    missing=["gpu: there is none"],
)


def _run(outcome: Outcome) -> Run:
    return Run(commit="abc", machine="2 cores", day="2026-01-01", minutes=3.0, outcomes={"one": outcome})


def test_an_outcome_survives_its_file(tmp_path: Path) -> None:
    save(_OUTCOME, tmp_path / "kept" / "one.json")
    kept = load(tmp_path / "kept" / "one.json")
    assert document(_run(kept), {}) == document(_run(_OUTCOME), {})
    assert kept.rows[0] == _FASTER


@pytest.mark.parametrize(
    ("row", "reached", "verdict"),
    [
        (_FASTER, 5.0, "reached"),
        (_FASTER, 4.0, "short by 20%"),
        (_LESS, 2.0, "reached"),
        (_LESS, 3.0, "short by 50%"),
        (replace(_FASTER, target=None), 4.0, ""),
    ],
)
def test_a_row_says_whether_it_is_reached(row: Row, reached: float, verdict: str) -> None:
    assert replace(row, reached=reached).verdict == verdict


def test_a_regression_is_below_one_whatever_the_unit() -> None:
    assert against(_FASTER, {_FASTER.key: 8.0}) == "8 (0.50×)"
    assert against(_LESS, {_LESS.key: 0.75}) == "0.75 (0.50×)"
    assert against(_LESS, {_FASTER.key: 8.0}) == ""


def test_the_document_says_what_falls_short_by_which_command_and_what_was_not_measured() -> None:
    text = document(_run(_OUTCOME), {_FASTER.key: 8.0})
    (line,) = [line for line in text.splitlines() if line.startswith("| 15 MB")]
    assert "**short by 20%**" in line
    assert "8 (0.50×)" in line
    assert "`python -m benchmarks.receive`" in line
    assert "the hash bounds it" in text
    assert "decode\\|read" in text
    assert "images/performance/claim.svg" in text
    assert "gpu: there is none" in text


def test_a_plot_is_the_same_bytes_for_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'chexnode[training]'")
    for name in ("first", "second"):
        draw(_OUTCOME.plots[0], tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert b"SQLite" in (tmp_path / "first").read_bytes()


def test_medians_are_of_ratios_within_a_round() -> None:
    assert median_ratio([10, 1, 3], [5, 1, 1]) == 2
    assert percentile([4, 1, 3, 2], 0.5) == 2
    assert percentile([4, 1, 3, 2], 0.95) == 4


def test_what_a_process_uses_is_read_from_the_system() -> None:
    import os

    assert os.getpid() in descendants(os.getpid())
    assert cpu_seconds(os.getpid()) > 0
    assert resident_bytes(os.getpid()) > 1 << 20
