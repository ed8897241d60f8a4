"""The long schedule's bookkeeping: its table counts what was tried, and it goes on where it was stopped."""

import json
import subprocess
import sys
from pathlib import Path

from tests.faults.__main__ import table
from tests.faults.trials import FAULTS, kills


def _row(name: str, recovered: float, **changed: object) -> dict[str, object]:
    row = {"round": 0, "name": name, "fault": f"the {name}", "tried": True, "lost": [], "duplicated": []}
    return row | {"recovered": recovered, "point": ""} | changed


def test_the_table_has_a_row_a_fault_and_none_for_what_never_struck() -> None:
    lines = table(
        [
            _row("flood", 2.0, lost=["1.2: gone", "1.3: gone"]),
            _row("fire", 1.0, tried=False),
            _row("flood", 4.5, duplicated=["1.4: 2 contents"]),
        ]
    ).splitlines()
    assert lines[2:] == ['| the flood | 2 | 2 | 1 | 3.2, 4.5 | `make faults FAULTS="--only flood"` |']


def test_what_was_tried_is_not_tried_again_and_a_loss_is_an_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "faults.jsonl"
    rows = [_row(name, 1.0) for name in (*kills(0), *FAULTS)]
    for lost, code in (((), 0), (("1.2: gone",), 1)):
        rows[0] |= {"lost": lost}
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        ran = subprocess.run(
            [sys.executable, "-m", "tests.faults", "--rounds", "1", "--results", str(file)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (ran.returncode, len(ran.stdout.splitlines())) == (code, 2 + len(rows)), ran.stderr
        assert ("1.2: gone" in ran.stderr) == bool(code)
    assert len(file.read_text().splitlines()) == len(rows)
