"""`chexnode conformance`: the DICOM Conformance Statement of this node, as it is configured."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli.options import CONFIG, Config


def conformance(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write it to this file; none: print it.")] = None,
    config: Config = CONFIG,
) -> None:
    """Write the DICOM Conformance Statement (PS3.2) from the configuration: Markdown, for whoever connects to it.

    AE titles, SOP classes, transfer syntaxes, statuses, policies, security, and what stands in each object.
    """
    from dicom_node.config import load_settings
    from dicom_node.conformance import statement
    from model.weights import read_manifest

    settings = load_settings(config)
    text = statement(settings, read_manifest(settings.model.folder))
    if out is None:
        print(text, end="")
        return
    out.write_text(text, encoding="utf-8")
    print(f"The statement is in {out}.")
