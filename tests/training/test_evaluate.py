"""What a manifest holds: who belongs to which group, and what each figure counts."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.examples import example
from tests.training.tables.conftest import film, said
from training.datalist import Status, write_datalist
from training.evaluate import Marks, main, summary, validation
from training.predictions import load, save

BOX = (0.2, 0.2, 0.4, 0.4)
ELSEWHERE = (0.6, 0.6, 0.9, 0.9)


def test_figures_by_size_and_reader() -> None:
    examples = [
        replace(example(BOX), id="1"),
        replace(example(BOX, readers=("rsna",)), width=128, id="2", looked_for=frozenset({"Lung Opacity"})),
        replace(example(status=Status.NORMAL, readers=("rsna",)), id="3"),
    ]
    marks: list[Marks] = [([(BOX, 0.9)], 0.9), ([(ELSEWHERE, 0.8)], 0.4), ([(BOX, 0.7)], 0.5)]
    figures = summary(examples, marks, threshold=0.75)
    assert set(figures) == {"all", "fully read", "512px", "128px"}
    everything = figures["all"]
    assert everything["froc"]["1.0"] == 0.5
    assert everything["auroc"] == 0.5
    assert everything["pointing"] == 0.5
    assert everything["operating_point"] == {
        "sensitivity": 0.5,
        "false_per_image": 0.333,
        "false_per_normal": 0.0,
        "normals_marked": 0.0,
    }
    # The film that only RSNA's readers saw does not count as fully read; the normal one does.
    assert figures["fully read"]["films"] == 2
    assert figures["128px"]["froc"]["8.0"] == 0


def test_only_films_whose_state_is_known_are_calibrated_on() -> None:
    known = replace(example(BOX), split="val")
    others = [example(BOX), replace(known, status=Status.NORMAL_REPORT), replace(known, status=Status.UNLOCALISED)]
    assert validation([known, *others]) == [known]


def test_a_file_of_predictions_is_measured_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    picture = tmp_path / "film.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(picture)
    films = [replace(film(n, "Mass" if n % 2 else None), path=picture) for n in range(40)]
    write_datalist(films, tmp_path / "datalist.json")
    save(said(films[1:], lambda one: ([(BOX, 0.8)] if one.boxes else [], 0.0)), tmp_path / "p.npz")
    card = tmp_path / "card.md"
    card.write_text("<!-- table: evaluation -->\n<!-- end of table: evaluation -->\n")
    words = ["--data", str(tmp_path / "datalist.json"), "--predictions", str(tmp_path / "p.npz")]
    with caplog.at_level(logging.WARNING, "training"):
        assert main([*words, "--threshold", "0.5", "--out", str(tmp_path / "out"), "--card", str(card)]) == 0
    assert "holds no prediction of 1 films" in caplog.text
    printed = capsys.readouterr().out
    assert "| fully read and clean normals | 40 | 20 | 20 | 1.00 [1.00, 1.00]" in printed
    assert "Threshold 0.5, fixed before." in card.read_text()
    assert len(load(tmp_path / "out" / "predictions.npz").ids) == 39
    assert main([*words[:3], str(picture)]) == 1
    assert "film.png is no file of predictions" in capsys.readouterr().err
