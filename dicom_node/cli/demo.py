"""`chexnode demo`: a small archive and the node on loopback, and X-rays that travel between them."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Your own DICOM files or folders; none: three synthetic studies that ship with chexnode."),
    ] = None,
    stay: Annotated[bool, typer.Option("--stay", help="Keep archive and node running until Ctrl-C.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where everything is written; none: a new temporary folder.")
    ] = None,
) -> None:
    """Watch chest X-rays travel from an archive to the node and back, with nothing at hand.

    Archive and node run on loopback, on free ports, in one folder. It ends with a table of what was found and what came
    back, and fails when something did not.
    """
    from dicom_node.demo.scenario import run_demo

    raise typer.Exit(run_demo(paths or [], stay=stay, folder=folder))
