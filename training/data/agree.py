"""Several readers' boxes as findings, each with the share of the readers who drew it."""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

from training.data.boxes import Box, area, iou
from training.data.example import MIN_AREA, Finding, Region, agreement

#: boxes that overlap at least this much (IoU) mark the same place: as in the measure, where it makes a hit
SAME_PLACE = 0.4


def fused(regions: Sequence[Region], readers: Iterable[str], overlap: float = SAME_PLACE) -> tuple[Finding, ...]:
    """Weighted boxes fusion (arXiv 1910.13302) of what `readers` drew on one film, whatever they called it.

    There as here boxes of one place become their weighted mean. There a box weighs by its confidence; readers
    give none, so each reader weighs the same, also who drew twice in one place. There boxes come by falling
    confidence; here the two that overlap most are joined first, until none overlap by `overlap` (IoU): the order
    of the rows does not matter, and boxes that means have moved together are joined too. There a mean's confidence
    falls with the models that did not see it; here that share is the agreement. Any unit of coordinates; findings
    from the upper left to the lower right.
    """
    looked = frozenset(readers)
    places = [[region] for region in sorted(regions, key=_order)]
    means = [_mean(place) for place in places]
    while len(places) > 1:
        pairs = combinations(range(len(places)), 2)
        most, one, other = max(((iou(means[i], means[j]), i, j) for i, j in pairs), key=lambda pair: pair[0])
        if most < overlap:
            break
        places[one] += places.pop(other)
        means.pop(other)
        means[one] = _mean(places[one])
    findings = [_finding(box, place, looked) for box, place in zip(means, places, strict=True)]
    return tuple(sorted(findings, key=lambda finding: (finding.box, sorted(finding.labels))))


def findings_of(regions: Sequence[Region], readers: Iterable[str]) -> tuple[Finding, ...]:
    """`fused` of regions in fractions of the film, without those too small to be scored."""
    return tuple(finding for finding in fused(regions, readers) if area(finding.box) >= MIN_AREA)


def _finding(box: Box, place: Sequence[Region], readers: frozenset[str]) -> Finding:
    labels = frozenset(region.label for region in place)
    drew = {region.reader for region in place}
    return Finding(box=box, labels=labels, agreement=agreement(labels, drew, readers))


def _order(region: Region) -> tuple[Box, str, str]:
    return region.box, region.reader, region.label


def _mean(place: Sequence[Region]) -> Box:
    """The mean of the readers' means."""
    by_reader: dict[str, list[Box]] = {}
    for region in sorted(place, key=_order):
        by_reader.setdefault(region.reader, []).append(region.box)
    means = [_average(boxes) for boxes in by_reader.values()]
    return _average(means)


def _average(boxes: Sequence[Box]) -> Box:
    x0, y0, x1, y1 = (math.fsum(side) / len(boxes) for side in zip(*boxes, strict=True))
    return x0, y0, x1, y1
