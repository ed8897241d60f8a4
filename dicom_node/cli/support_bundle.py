"""`chexnode support-bundle`: what somebody who helps needs to see, without a word about a patient."""

import time
from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli.options import CONFIG, Config


def support_bundle(
    out: Annotated[Path, typer.Option(help="The file to write, a .tar.gz.")] = Path("chexnode-support.tar.gz"),
    log: Annotated[list[Path] | None, typer.Option(help="A log of the node to put in, as often as needed.")] = None,
    config: Config = CONFIG,
) -> None:
    """Write versions, settings without secrets, what the doctor finds, the ledger in numbers, and logs to one file.

    No patient's name, identifier or accession number and no UID of a study is in it: they are replaced by the hashes
    of the log, which `chexnode status --hash` looks up here and nobody can elsewhere. What peers answered in their own
    words is left out. Host names and AE titles stay: look through it before you send it.
    """
    from dicom_node.cli.terminal import console, counted, plain
    from dicom_node.doctor.bundle import write

    names = write(config, out, log or [], now=time.time())
    console().print(plain(f"{out} holds {counted(len(names), 'file')}: {', '.join(names)}."), soft_wrap=True)
