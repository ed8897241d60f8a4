"""The commands: tables into files and into the card, the gallery, and sentences where nothing can be made."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.tables.conftest import ELSEWHERE, PLACE, Said, film, said
from training.datalist import Example, write_datalist
from training.evaluation.sheet import Sheet
from training.predictions import save
from training.protocol import fold_of
from training.tables.__main__ import TABLES, main
from training.tables.card import insert, write

CARD = "before\n<!-- table: blind -->\nold\n<!-- end of table: blind -->\nafter\n"


@pytest.fixture
def datalist(tmp_path: Path) -> Path:
    """Thirty films of each split as a list, with pictures."""
    rng = np.random.default_rng(0)
    films = []
    for number in range(60):
        made = film(number, ("Effusion", "Nodule", None)[number % 3], split="val" if number < 30 else "train")
        path = tmp_path / "films" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (64, 64), np.uint8)).save(path)
        films.append(replace(made, path=path, width=64))
    write_datalist(films, tmp_path / "datalist.json")
    return tmp_path / "datalist.json"


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_table_is_printed_written_and_put_into_the_card(datalist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, card = datalist.parent / "out", datalist.parent / "README.md"
    card.write_text(CARD)
    assert main(["blind", "--data", str(datalist), "--out", str(out), "--card", str(card)]) == 0
    printed = capsys.readouterr().out
    assert "**The same 16 boxes on every film" in printed
    assert files(out) == {"blind.md", "blind.json", "blind-1.csv", "blind-2.csv"}
    content = card.read_text()
    assert content.startswith("before\n<!-- table: blind -->\n**The same")
    assert content.endswith("<!-- end of table: blind -->\nafter\n")
    assert "old" not in content
    # Again: the same.
    assert main(["blind", "--data", str(datalist), "--card", str(card)]) == 0
    assert card.read_text() == content


def test_studies(datalist: Path, leave: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    films = [film(number, ("Effusion", "Nodule", None)[number % 3]) for number in range(60)]
    out = datalist.parent / "out"

    def finds(one: Example) -> Said:
        return ([(PLACE, 0.9)] if one.boxes else []), 0.0

    leave("ablation", "plain", said(films, finds), arm="plain")
    for fold in (0, 1):
        half = [one for one in films if fold_of(one.patient) == fold]
        runs = leave("unseen", f"seen-{fold}", said(half, finds), arm="binary", role="seen", fold=fold)
    for name in ("ablation", "unseen", "perceptual"):
        assert main([name, "--data", str(datalist), "--runs", str(runs), "--out", str(out)]) == 0
    assert {"ablation.png", "unseen.png", "perceptual.md", "unseen-4.csv"} <= files(out)
    assert len(json.loads((out / "ablation.json").read_text())) == 3
    assert "Not there yet" in capsys.readouterr().out


def test_the_gallery_is_pictures_of_what_went_wrong(datalist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    films = [film(number, ("Effusion", "Nodule", None)[number % 3]) for number in range(30)]
    predictions, out = datalist.parent / "p.npz", datalist.parent / "gallery"
    save(said(films, lambda one: ([(ELSEWHERE, 0.9)], 0.0)), predictions)
    words = [
        "gallery",
        "--data",
        str(datalist),
        "--predictions",
        str(predictions),
        "--threshold",
        "0.5",
        "--out",
        str(out),
    ]
    assert main(words) == 0
    others = {"false-on-normals.png", "abnormal-scored-low.png", "normal-scored-high.png"}
    assert files(out) == {"missed-2-to-8-percent.png", *others}
    assert "patients' X-rays" in capsys.readouterr().out
    with Image.open(out / "missed-2-to-8-percent.png") as picture:
        colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    # Readers' boxes and the model's are drawn in their colours.
    for colour in ((0, 192, 255), (255, 176, 0)):
        assert (np.abs(colours.astype(int) - colour).sum(1) < 30).sum() > 100


@pytest.mark.parametrize("name", ["ablation", "unseen", "perceptual"])
def test_nothing_to_tell_is_a_sentence(datalist: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--data", str(datalist), "--runs", str(datalist.parent / "none")]) == 1
    assert f"python -m training.study {'unseen' if name == 'perceptual' else name}" in capsys.readouterr().err


def test_a_card_without_a_place_says_which_lines_it_needs(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("no markers")
    with pytest.raises(ValueError, match="put a line <!-- table: blind -->"):
        insert("blind", "text", card)
    assert card.read_text() == "no markers"


def test_numbers_survive_being_written(tmp_path: Path) -> None:
    write("t", [Sheet(title="t", columns=("a",), rows=((1,),))], tmp_path)
    assert json.loads((tmp_path / "t.json").read_text())[0]["rows"] == [{"a": 1}]
    assert (tmp_path / "t-1.csv").read_text() == "a\n1\n"


def test_every_table_has_a_command() -> None:
    assert set(TABLES) == {"ablation", "unseen", "perceptual", "blind", "gallery"}


def test_the_model_card_has_a_place_and_a_command_for_every_table() -> None:
    card = (Path(__file__).parents[3] / "training" / "docs" / "README.md").read_text()
    for name in {"evaluation", *TABLES} - {"gallery"}:
        assert card.count(f"<!-- table: {name} -->") == card.count(f"<!-- end of table: {name} -->") == 1
    for name in TABLES:
        assert f"python -m training.tables {name} " in card
