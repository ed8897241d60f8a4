"""`chexnode backup`: a consistent copy of the node, taken while it works."""

import time
from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli.options import CONFIG, Config


def backup(
    to: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A new folder, or an earlier backup to bring up to date.")
    ],
    config: Config = CONFIG,
) -> None:
    """Copy ledger, images, results and configuration as they are at one moment; the node may be at work.

    The copy is laid out as node.folder is: copied back, it is the node as it was. Run again into the same folder, only
    what came since is copied. The passcodes and certificates that the configuration refers to are not in it.
    """
    from dicom_node.cli.terminal import console, counted, plain
    from dicom_node.config import load_settings
    from dicom_node.operate.backing_up import back_up

    done = back_up(load_settings(config), config, to, now=time.time())
    held = done.backup
    said = f"{to} holds the ledger and {counted(held.objects, 'object')} ({held.bytes / 1e6:.1f} MB)"
    console().print(plain(f"{said}; copied now: {done.objects} ({done.bytes / 1e6:.1f} MB)."), soft_wrap=True)
    if held.missing:
        lacks = f"{counted(held.missing, 'object')} that the ledger names could not be found: chexnode verify"
        console(stderr=True).print(plain(lacks), soft_wrap=True)
        raise typer.Exit(1)
