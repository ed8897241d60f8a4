"""What one of VinDr-CXR's readers reaches against the two others, by the measure that models are measured by.

`python -m training.tables.vindr_readers vinbigdata-train.csv.gz` reads the table of boxes alone (the copy that the
package torchxrayvision ships will do) and needs no film.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.agree import fused
from training.data.example import DataError, Finding, Region
from training.data.vindr import Sheet as Film
from training.data.vindr import read_sheets
from training.evaluation.bootstrap import draws, estimate, ratio
from training.evaluation.matching import STRICT, Truth, corners, match_film
from training.evaluation.sheet import Cell, Sheet


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One reader of one film against the others."""

    film: str
    #: of the places that the others drew, and whether this reader hit each
    others: tuple[tuple[Finding, bool], ...]
    #: places drawn that none of the others' is hit by
    false: int


def regions_of(film: Film) -> list[Region]:
    """What was drawn on a film, in pixels."""
    return [Region(label=mark.label, reader=mark.reader, box=mark.box, polygon=None) for mark in film.marks]


def readings(films: Mapping[str, Film]) -> list[Reading]:
    """Each reader of each film that anybody marked, against the fused boxes of the film's other readers."""
    return [
        _reading(name, reader, regions_of(film), film.readers - {reader})
        for name, film in films.items()
        if film.marks
        for reader in sorted(film.readers)
    ]


def _reading(name: str, reader: str, regions: Sequence[Region], others: Iterable[str]) -> Reading:
    own = fused([region for region in regions if region.reader == reader], [reader])
    theirs = fused([region for region in regions if region.reader != reader], others)
    truth = Truth(findings=corners([finding.box for finding in theirs]), ignored=corners([]))
    which, _ = match_film(corners([finding.box for finding in own]), truth, STRICT)
    hits = set(which.tolist())
    return Reading(
        film=name,
        others=tuple((finding, index in hits) for index, finding in enumerate(theirs)),
        false=int((which < 0).sum()),
    )


def table(films: Mapping[str, Film]) -> Sheet:
    """Recall by what the others agreed on and by label, with intervals over films."""
    rows = readings(films)
    drawn = draws([row.film for row in rows])

    def recall(title: str, counts: Callable[[Finding], bool]) -> tuple[Cell, ...]:
        found = np.array([sum(hit for finding, hit in row.others if counts(finding)) for row in rows], float)
        all_of = np.array([sum(counts(finding) for finding, _ in row.others) for row in rows], float)
        return title, int(all_of.sum()), estimate(ratio(drawn, found, all_of))

    false = np.array([row.false for row in rows], float)
    labels = Counter(label for row in rows for finding, _ in row.others for label in finding.labels)
    return Sheet(
        title=f"VinDr-CXR: one reader against the others, {len({row.film for row in rows}):,} films with any mark",
        columns=("places that the others drew", "places", "drawn by the reader too"),
        rows=(
            recall("any of the others", lambda _: True),
            recall("all of the others", lambda finding: finding.agreement == 1),
            *(recall(label, lambda finding, label=label: label in finding.labels) for label, _ in labels.most_common()),  # type: ignore[misc]  # a default argument binds the label
        ),
        notes=(
            f"{STRICT.name}, whatever a place was called; {estimate(ratio(drawn, false, np.ones(len(rows))))} places "
            "a film drawn by the reader alone.",
            "Boxes of one place are fused (weighted boxes fusion, IoU ≥ 0.4) before they are compared.",
        ),
    )


def agreement_table(films: Mapping[str, Film]) -> Sheet:
    """Films, boxes, and how many of the readers of a film drew each place."""
    found = [(len(film.readers), fused(regions_of(film), film.readers)) for film in films.values()]
    shares = Counter(f"{round(finding.agreement * n)} of {n}" for n, findings in found for finding in findings)
    total = shares.total()
    return Sheet(
        title="VinDr-CXR: how many of a film's readers drew a place",
        columns=("readers", "places", "share"),
        rows=tuple((name, count, round(count / total, 3)) for name, count in sorted(shares.items())),
        notes=(
            f"{len(films):,} films, {sum(len(film.marks) for film in films.values()):,} boxes on "
            f"{sum(bool(film.marks) for film in films.values()):,} of them, {total:,} places.",
        ),
    )


def main(words: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.tables.vindr_readers", description=__doc__)
    parser.add_argument("csv", type=Path, help="VinDr-CXR's table of boxes, with rad_id")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args(words)
    try:
        films = read_sheets(arguments.csv)
    except DataError as error:
        parser.exit(1, f"{error}\n")
    sheets = (agreement_table(films), table(films))
    print("\n".join(sheet.markdown() for sheet in sheets))
    if arguments.out:
        arguments.out.write_text(json.dumps([sheet.plain() for sheet in sheets], indent=1) + "\n")


if __name__ == "__main__":
    main()
