"""Which films and findings belong where."""

from dataclasses import replace

import numpy as np

from tests.training.examples import example
from training.data.example import merged
from training.datalist import Region, Status
from training.evaluation.groups import by_size, evaluated, films_by, findings_by, primary
from training.evaluation.matching import corners

SMALL, LARGE = (0.1, 0.1, 0.15, 0.15), (0.4, 0.4, 0.9, 0.9)


def test_primary_films_are_those_where_a_false_box_is_false() -> None:
    opacities = replace(example(LARGE, readers=("rsna",)), looked_for=frozenset({"Lung Opacity"}))
    normal = example(status=Status.NORMAL, readers=("rsna",))
    assert primary(example(LARGE))
    assert not primary(opacities)
    assert primary(normal)
    assert not primary(replace(normal, reported=frozenset({"Nodule"})))
    assert primary(example(status=Status.NORMAL_WEAK))


def test_only_films_that_somebody_looked_at_are_measured_on() -> None:
    films = [replace(example(status=status), split="val") for status in Status]
    kept = evaluated([*films, example(LARGE)])
    assert {film.status for film in kept} == {Status.LOCALISED, Status.NORMAL, Status.NORMAL_WEAK}


def test_groups_of_films() -> None:
    films = [
        replace(example(LARGE), age=16),
        replace(example(LARGE, readers=("rsna",)), width=128, view="AP", age=60),
        replace(example(LARGE), age=None),
    ]
    members = {name: np.flatnonzero(part).tolist() for name, part in films_by(films).items()}
    assert members == {
        "512 px": [0, 2],
        "128 px": [1],
        "AP": [1],
        "PA": [0, 2],
        "16–39 years": [0],
        "60 years and more": [1],
        "read by chestx-det": [0, 2],
        "read by rsna": [1],
    }


def test_groups_of_findings() -> None:
    drawn = Region(label="Effusion", reader="rsna", box=(0.41, 0.41, 0.9, 0.9), polygon=None)
    first = example(SMALL, LARGE, labels=("Nodule",))
    readers, regions = frozenset({"chestx-det", "rsna"}), (*first.regions, drawn)
    both = replace(first, regions=regions, readers=readers, findings=merged(regions, readers))
    groups = findings_by([both, replace(example(LARGE, labels=("Mass",)), width=64)])
    # The large one was drawn twice, by two teams, under two names: it is one finding.
    order = [tuple(finding.box) for finding in both.findings]
    small, large = order.index(SMALL), 1 - order.index(SMALL)
    assert np.flatnonzero(groups["disease"]["Nodule"]).tolist() == [0, 1]
    assert np.flatnonzero(groups["disease"]["Effusion"]).tolist() == [large]
    assert np.flatnonzero(groups["disease"]["Mass"]).tolist() == [2]
    assert np.flatnonzero(groups["reader"]["rsna"]).tolist() == [large]
    assert np.flatnonzero(groups["reader"]["chestx-det"]).tolist() == [0, 1, 2]
    assert np.flatnonzero(groups["film"]["64 px"]).tolist() == [2]
    assert np.flatnonzero(groups["size"]["0.1–0.5 % of the film"]).tolist() == [small]


def test_every_size_has_one_band() -> None:
    shares = np.array([0.1, 0.49, 0.5, 2, 8, 50]) / 100
    bands = by_size(corners([(0, 0, 1, share) for share in shares]))
    assert [int(part.argmax()) for part in np.array(list(bands.values())).T] == [0, 0, 1, 2, 3, 3]
    assert (np.array(list(bands.values())).sum(0) == 1).all()
