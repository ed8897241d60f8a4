"""`python -m training.tables NAME`: make one table of the model card, print it and write it as files."""

import argparse
import sys
from pathlib import Path

from training.datalist import read_films
from training.evaluation import pictures
from training.tables.ablation import ablation
from training.tables.card import insert, markdown, write
from training.tables.runs import read_runs
from training.tables.unseen_sheets import unseen

STUDIES = {"ablation": ablation, "unseen": unseen}


def main() -> int:
    """The command line; 1 and a sentence on stderr where a table cannot be made."""
    arguments = _parser().parse_args()
    try:
        examples = read_films(arguments.data)
        sheets = STUDIES[arguments.table](examples, read_runs(arguments.runs, arguments.table))
        text = markdown(sheets)
        print(text)
        if arguments.out:
            write(arguments.table, sheets, arguments.out)
            pictures.PICTURES[arguments.table](sheets, arguments.out / f"{arguments.table}.png")
        if arguments.card:
            insert(arguments.table, text, arguments.card)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.tables", description=__doc__)
    tables = parser.add_subparsers(dest="table", required=True, metavar="NAME")
    for name, function in STUDIES.items():
        table = tables.add_parser(name, help=(function.__doc__ or "").splitlines()[0])
        table.add_argument("--data", type=Path, required=True, help="datalist, or folder with annotations.json")
        table.add_argument("--runs", type=Path, default=Path("runs"), help="where training.study left its trainings")
        table.add_argument("--out", type=Path, help="folder for NAME.md, .json, .csv and .png")
        table.add_argument("--card", type=Path, help="put the table between its markers in this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
