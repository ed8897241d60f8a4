"""`python -m training.tables NAME`: make one table of the model card, print it and write it as files."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from training.datalist import Example, read_films
from training.evaluation import pictures
from training.evaluation.groups import evaluated
from training.evaluation.matching import one_list
from training.evaluation.sheet import Sheet
from training.predictions import load
from training.tables.ablation import ablation
from training.tables.blind import blind
from training.tables.card import insert, markdown, write
from training.tables.gallery import gallery
from training.tables.perceptual import Model, of_runs, perceptual
from training.tables.runs import read_runs
from training.tables.unseen_sheets import unseen

#: name of a table → what it shows
TABLES = {
    "ablation": "what each part of the training brings",
    "unseen": "recall on diseases that were never seen",
    "perceptual": "recall on films that one team called normal and another marked",
    "blind": "what baselines reach that see no picture",
    "gallery": "pictures of what a model got wrong; never to be published",
}


def main(words: Sequence[str] | None = None) -> int:
    """The command line; 1 and a sentence on stderr where a table cannot be made."""
    arguments = _parser().parse_args(words)
    try:
        examples = read_films(arguments.data)
        if arguments.table == "gallery":
            _gallery(examples, arguments)
        else:
            _table(arguments.table, _sheets(arguments.table, examples, arguments), arguments)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _sheets(name: str, examples: Sequence[Example], arguments: argparse.Namespace) -> list[Sheet]:
    if name == "ablation":
        return ablation(examples, read_runs(arguments.runs, name))
    if name == "unseen":
        return unseen(examples, read_runs(arguments.runs, name))
    if name == "blind":
        return blind(examples)
    if arguments.predictions:
        model = Model(one_list(load(arguments.predictions)), arguments.threshold)
        return perceptual(examples, {arguments.predictions.parent.name: model})
    return perceptual(examples, of_runs(read_runs(arguments.runs, "unseen")))


def _table(name: str, sheets: Sequence[Sheet], arguments: argparse.Namespace) -> None:
    text = markdown(sheets)
    print(text)
    if arguments.out:
        write(name, sheets, arguments.out)
        if name in pictures.PICTURES:
            pictures.PICTURES[name](sheets, arguments.out / f"{name}.png")
    if arguments.card:
        insert(name, text, arguments.card)


def _gallery(examples: Sequence[Example], arguments: argparse.Namespace) -> None:
    predictions = one_list(load(arguments.predictions))
    for path in gallery(evaluated(examples, "val"), predictions, arguments.threshold, arguments.out):
        print(path)
    print("These are patients' X-rays: keep them where the data is.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.tables", description=__doc__)
    tables = parser.add_subparsers(dest="table", required=True, metavar="NAME")
    for name, shows in TABLES.items():
        table = tables.add_parser(name, help=shows, description=shows)
        table.add_argument("--data", type=Path, required=True, help="datalist, or folder with annotations.json")
        if name in ("ablation", "unseen", "perceptual"):
            table.add_argument(
                "--runs", type=Path, default=Path("runs"), help="where training.study left its trainings"
            )
        if name in ("perceptual", "gallery"):
            alone = name == "gallery"
            table.add_argument("--predictions", type=Path, required=alone, help="of one model, as evaluate --out keeps")
            table.add_argument("--threshold", type=float, required=alone, help="confidence from which a box is shown")
        if name == "gallery":
            table.add_argument("--out", type=Path, required=True, help="folder for the sheets; they show patients")
        else:
            table.add_argument("--out", type=Path, help="folder for markdown, JSON, CSV and PNG")
            table.add_argument("--card", type=Path, help="put the table between its markers in this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
