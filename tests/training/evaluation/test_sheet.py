"""Tables as they are written."""

import csv
import io
import json

import pytest

from training.evaluation.bootstrap import Estimate
from training.evaluation.sheet import Sheet

NAN = float("nan")
SHEET = Sheet(
    title="Who found what",
    columns=("arm", "films", "sensitivity", "p"),
    rows=(
        ("plain | filled", 3, Estimate(0.5, 0.25, 0.75), 0.04),
        ("all", None, Estimate(NAN, NAN, NAN), NAN),
    ),
    notes=("A note.",),
)


def test_markdown() -> None:
    assert SHEET.markdown().splitlines() == [
        "**Who found what**",
        "",
        "| arm | films | sensitivity | p |",
        "| --- | --- | --- | --- |",
        "| plain \\| filled | 3 | 0.50 [0.25, 0.75] | 0.040 |",
        "| all | – | – | – |",
        "",
        "- A note.",
    ]


def test_csv_has_the_interval_in_columns_of_its_own() -> None:
    rows = list(csv.DictReader(io.StringIO(SHEET.csv())))
    assert rows[0] == {
        "arm": "plain | filled",
        "films": "3",
        "sensitivity": "0.5",
        "sensitivity low": "0.25",
        "sensitivity high": "0.75",
        "p": "0.04",
    }
    assert set(rows[1].values()) == {"all", ""}


def test_json_says_null_where_nothing_is_known() -> None:
    first, second = json.loads(json.dumps(SHEET.plain(), allow_nan=False))["rows"]
    assert first["sensitivity"] == {"value": 0.5, "low": 0.25, "high": 0.75}
    assert second == {"arm": "all", "films": None, "sensitivity": dict.fromkeys(("value", "low", "high")), "p": None}


def test_a_row_of_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="2 cells under 1 columns"):
        Sheet(title="t", columns=("a",), rows=(("x", "y"),))
