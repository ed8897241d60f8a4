"""What docs/results.md promises of each profile is what the table of profiles holds."""

from pathlib import Path

from dicom_node.config import ResultsSection
from dicom_node.domain import Profile
from dicom_node.encode.marks import MANUFACTURER, MODEL_NAME
from dicom_node.encode.profiles import PROFILES, Segments

DOCUMENT = (Path(__file__).parents[2] / "docs" / "results.md").read_text()


def test_the_document_has_each_profile_as_it_is() -> None:
    head, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in DOCUMENT.splitlines()
        if line.startswith(("| profile |", *(f"| `{profile}`" for profile in Profile)))
    ]
    assert head == ["profile", "for", "of each image", "of each study", "SEG geometry", "segments", "SC"]
    assert [row[0].split()[0].strip("`") for row in rows] == list(PROFILES)
    for cells, (profile, row) in zip(rows, PROFILES.items(), strict=True):
        has_seg, has_sc = "SEG" in cells[2], "SC" in cells[2].split(", ")
        united = row.segments is Segments.UNITED
        assert cells[2:] == [
            ", ".join(kind.upper() for kind in row.kinds),
            ", ".join(kind.upper() for kind in row.study_kinds) or "–",
            ("invented" if row.invented_geometry else "none invented") if has_seg else "–",
            (cells[5] if cells[5].startswith("one in all") == united else "wrong") if has_seg else "–",
            ("colour" if row.sc_colour else "grey") if has_sc else "–",
        ], profile


def test_the_rule_for_portals_and_discs_names_what_every_result_has() -> None:
    rule = DOCUMENT.split("## Keep these series off portals, discs and exports")[1].split("\n## ")[0]
    assert f"both `{MANUFACTURER}`" in rule
    assert MANUFACTURER == MODEL_NAME
    defaults = ResultsSection()
    numbers = sorted(value for name, value in defaults if name.endswith("_series_number"))
    assert f"{numbers[0]} to {numbers[-1]}" in rule
    descriptions = [value for name, value in defaults if name.endswith("_description")]
    assert len(descriptions) == len(numbers) == 4
    assert all(description.startswith("AI RESEARCH") for description in descriptions)
    assert "begins with `AI RESEARCH`" in rule
