"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="CHEXNODE_CONFIG", help="The configuration, as `chexnode init` writes it."),
]

#: what Config is where nobody says otherwise
CONFIG = Path("chexnode.toml")

DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="List what would be done; do nothing.")]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
