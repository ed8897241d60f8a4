"""Free-response ROC, ROC and what one threshold means, each for every bootstrap row at once.

`drawn` is (B, N) as `training.evaluation.bootstrap.draws` makes it: how often each of N films counts in each row.
"""

from collections.abc import Sequence

import numpy as np

from training.evaluation.bootstrap import divide, ratio
from training.evaluation.matching import Bools, Floats, Ints, Outcomes

#: false positives an image at which sensitivity is told (Setio et al., LUNA16, arXiv 1612.08012)
POINTS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def hits_at(
    outcomes: Outcomes,
    drawn: Floats,
    points: Sequence[float] = POINTS,
    counted: Bools | None = None,
    of: Bools | None = None,
) -> Floats:
    """(B, P) findings hit at the lowest threshold with at most so many false positives a counted film.

    `counted` (N,) are the films whose false positives count (all, or the normal ones); `of` (G,) the findings that
    are asked for (a hit on another is neither). Equal scores stand or fall together.
    """
    ends = _ends(outcomes.score)
    hit, false = outcomes.hit, ~outcomes.hit
    if of is not None and hit.any():
        hit = hit & of[outcomes.finding]
    films = np.ones(outcomes.films) if counted is None else counted.astype(np.float64)
    if counted is not None:
        false = false & counted[outcomes.film]
    # Only the boxes that can change a count; the position of each end among them.
    true_ends, false_ends = (np.searchsorted(np.flatnonzero(flags), ends, side="right") for flags in (hit, false))
    true_films, false_films = outcomes.film[hit], outcomes.film[false]
    result = np.zeros((len(drawn), len(points)))
    for row, counts in enumerate(drawn):
        true = np.append(0.0, np.cumsum(counts[true_films]))[true_ends]
        wrong = np.append(0.0, np.cumsum(counts[false_films]))[false_ends]
        last = np.searchsorted(wrong, np.asarray(points) * float(counts @ films), side="right") - 1
        result[row] = np.where(last >= 0, np.append(true, 0.0)[last], 0.0)
    return result


def sensitivity(
    outcomes: Outcomes,
    drawn: Floats,
    points: Sequence[float] = POINTS,
    counted: Bools | None = None,
    of: Bools | None = None,
) -> Floats:
    """(B, P) share of the findings asked for; see `hits_at`. nan in a row without any."""
    hits = hits_at(outcomes, drawn, points, counted, of)
    return divide(hits, (drawn @ outcomes.findings_on(of))[:, None])


def recall(outcomes: Outcomes, drawn: Floats, threshold: Floats | float, of: Bools | None = None) -> Floats:
    """(B,) share of the findings hit by a box of at least `threshold`, a number or (N,) one a film."""
    limit = np.broadcast_to(threshold, (outcomes.films,))[outcomes.film_of_finding]
    found = (outcomes.found_at >= limit) & (outcomes.found_at > -np.inf)
    return ratio(drawn, outcomes.findings_on(found if of is None else found & of), outcomes.findings_on(of))


def false_positives(outcomes: Outcomes, drawn: Floats, threshold: Floats | float, counted: Bools) -> Floats:
    """(B,) false positives of at least `threshold` a counted film."""
    shown = _shown(outcomes, threshold) & ~outcomes.hit & counted[outcomes.film]
    return ratio(drawn, _per_film(outcomes, shown), counted.astype(np.float64))


def marked(outcomes: Outcomes, drawn: Floats, threshold: Floats | float, counted: Bools) -> Floats:
    """(B,) share of the counted films with any box of at least `threshold`."""
    shown = _per_film(outcomes, _shown(outcomes, threshold)) > 0
    return ratio(drawn, (shown & counted).astype(np.float64), counted.astype(np.float64))


def threshold_at(outcomes: Outcomes, point: float, counted: Bools) -> float:
    """The least threshold with at most `point` false positives a counted film: just above the first one too many.

    It depends on the false positives of the counted films alone. -inf where all may be shown, inf where no film counts.
    """
    if not counted.any():
        return float("inf")
    false = outcomes.score[~outcomes.hit & counted[outcomes.film]]
    allowed = int(point * counted.sum())
    return float(np.nextafter(false[allowed], np.inf)) if allowed < len(false) else float("-inf")


def auroc(scores: Floats, positive: Bools, negative: Bools, drawn: Floats, strata: Ints | None = None) -> Floats:
    """(B,) chance that a positive film scores above a negative one, ties counting half; nan where a side is empty.

    With `strata` (N,) only films of the same stratum are compared: what goes along with a disease by the choice of
    films alone (view, size of the picture) then tells nothing (Janes and Pepe, Biometrika 2009).
    """
    strata = np.zeros(len(scores), np.int64) if strata is None else strata
    parts = [_wins(scores[own], positive[own], negative[own], drawn[:, own]) for own in _members(strata)]
    wins, pairs = np.sum(parts, axis=0) if parts else np.zeros((2, len(drawn)))
    return divide(wins, pairs)


def _members(strata: Ints) -> list[Ints]:
    return [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]


def _wins(scores: Floats, positive: Bools, negative: Bools, drawn: Floats) -> Floats:
    """(2, B) pairs that are in order, and pairs."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))
    ranked = drawn[:, order]
    above = np.add.reduceat(ranked * positive[order], starts, axis=1)
    below = np.add.reduceat(ranked * negative[order], starts, axis=1)
    wins = (above * (np.cumsum(below, axis=1) - below / 2)).sum(1)
    return np.stack([wins, above.sum(1) * below.sum(1)])


def _ends(score: Floats) -> Ints:
    """The last box of each run of equal scores."""
    return np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(score) else np.zeros(0, np.int64)


def _shown(outcomes: Outcomes, threshold: Floats | float) -> Bools:
    return np.asarray(outcomes.score >= np.broadcast_to(threshold, (outcomes.films,))[outcomes.film])


def _per_film(outcomes: Outcomes, boxes: Bools) -> Floats:
    return np.bincount(outcomes.film[boxes], minlength=outcomes.films).astype(np.float64)
