"""`python -m tests.faults`: the long schedule. It goes on where it was stopped, and prints one table of all trials."""

import argparse
import itertools
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.hospital import Hospital
from tests.faults.trials import FAULTS, Outcome, Trial, kills
from tests.memory import MEMORY

#: rounds of kills after which every other fault is tried once
_OTHERS_EVERY = 3
#: seconds; a lease that a frozen worker outlives soon
_SHORT_LEASE = 6.0


def main() -> int:
    """0: nothing was lost, and nothing was there twice, in any trial of the file."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no trial after so many (%(default)g)")
    parser.add_argument("--rounds", type=int, default=18, help="stop after that round of kills (%(default)d)")
    parser.add_argument("--only", default="", help="only faults whose name begins like this, see the table")
    parser.add_argument(
        "--results", type=Path, default=Path("build/faults.jsonl"), help="one line a trial (%(default)s)"
    )
    parser.add_argument("--table", action="store_true", help="try nothing, print the table")
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    if not options.table:
        _run(options)
    rows = _rows(options.results)
    print(table(rows))
    wrong = [row for row in rows if row["lost"] or row["duplicated"]]
    for row in wrong:
        print(f"{row['name']}, round {row['round']}: {row['lost'] + row['duplicated']}", file=sys.stderr)
    return 1 if wrong else 0


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row a fault, in the order in which they were first tried; trials that never struck are left out."""
    lines = [
        "| fault | times tried | lost | duplicated | recovered in seconds: median, longest | command |",
        "|---|---|---|---|---|---|",
    ]
    for name, tried in _by_name(rows).items():
        seconds = [row["recovered"] for row in tried]
        lost, twice = (sum(len(row[what]) for row in tried) for what in ("lost", "duplicated"))
        lines.append(
            f"| {tried[0]['fault']} | {len(tried)} | {lost} | {twice}"
            f' | {statistics.median(seconds):.1f}, {max(seconds):.1f} | `make faults FAULTS="--only {name}"` |'
        )
    return "\n".join(lines)


def _by_name(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["tried"]:
            found.setdefault(row["name"], []).append(row)
    return found


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _run(options: argparse.Namespace) -> None:
    ends = time.monotonic() + options.minutes * 60
    done = {(row["round"], row["name"]) for row in _rows(options.results)}
    for number, trials, lease in _schedule(options.rounds):
        left = {
            name: trial
            for name, trial in trials.items()
            if (number, name) not in done and name.startswith(options.only)
        }
        if left and time.monotonic() < ends:
            _try_all(number, left, lease, ends, options.results)


def _schedule(rounds: int) -> Iterator[tuple[int, Mapping[str, Trial], float]]:
    """(round, trials that share a node, lease); what is tried in a round does not depend on where it was stopped."""
    for number in itertools.islice(itertools.count(), rounds):
        yield number, kills(number), 60.0
        if number % _OTHERS_EVERY == 0:
            frozen = {name: trial for name, trial in FAULTS.items() if name.startswith("worker")}
            yield number, frozen, _SHORT_LEASE
            yield number, {name: trial for name, trial in FAULTS.items() if name not in frozen}, 60.0


def _try_all(number: int, trials: Mapping[str, Trial], lease: float, ends: float, file: Path) -> None:
    """Each on the same node; one after a failure on a new one, so that no trial answers for another."""
    with ExitStack() as stack:
        site: Hospital | None = None
        for name, trial in trials.items():
            if time.monotonic() > ends:
                return
            if site is None:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-", dir=MEMORY))
                site = stack.enter_context(Hospital(Path(folder), lease=lease))
                site.start()
            outcome = _try(name, trial, site, random.Random(f"{number} {name}"))
            with file.open("a") as lines:
                print(json.dumps({"round": number, "name": name, **asdict(outcome)}), file=lines)
            print(f"{number} {name} {outcome.point}: {_in_words(outcome)}", flush=True)
            if outcome.lost or outcome.duplicated:
                stack.close()
                site = None


def _try(name: str, trial: Trial, site: Hospital, chance: random.Random) -> Outcome:
    started = time.monotonic()
    try:
        return trial(site, chance)
    except AssertionError as error:  # it did not come to an end: that is a finding, not the end of the schedule
        gone = time.monotonic() - started
        return Outcome(fault=name, tried=True, lost=(str(error),), duplicated=(), recovered=gone)


def _in_words(outcome: Outcome) -> str:
    if not outcome.tried:
        return "not counted: it never came to that point, or nothing was in work"
    return f"{len(outcome.lost)} lost, {len(outcome.duplicated)} twice, back after {outcome.recovered:.1f} s"


if __name__ == "__main__":
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    sys.exit(main())
