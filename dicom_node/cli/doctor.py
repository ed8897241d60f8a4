"""`chexnode doctor`: is everything that the node needs there, does every peer answer, what does a destination take?"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicom_node.cli.options import CONFIG, Config, Yes

if TYPE_CHECKING:
    from dicom_node.doctor import Check


def doctor(
    handshake: Annotated[
        str | None, typer.Option("--handshake", metavar="NAME", help="Try this destination instead, end to end.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Also write the handshake's sheet to this file: plain text for a ticket.")
    ] = None,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a JSON list of what was looked at.")] = False,
    config: Config = CONFIG,
) -> None:
    """Check configuration, disk, ledger, model, GPU, processes and clocks, and ask every peer with C-ECHO.

    With --handshake it tries one destination: asks it, negotiates every object of its profile, sends a study that is
    marked as a test (after asking you), looks it up, reads it back, compares, and says what to ask the people there.

    One line each: ok, warning, or failed with what to do about it. Exit code 0: nothing failed; 1: something did.
    """
    from dicom_node.doctor import examine

    if handshake is not None:
        _handshake(handshake, sheet, yes=yes, as_json=as_json, config=config)
    if sheet is not None:
        raise typer.BadParameter("--sheet is written by a handshake: name a destination with --handshake")
    found = _shown(examine(config), as_json=as_json)
    raise typer.Exit(_closed(found, as_json=as_json))


def _handshake(name: str, sheet: Path | None, *, yes: bool, as_json: bool, config: Path) -> None:
    """Ends the command."""
    import time

    from dicom_node.cli.terminal import console, moment, plain
    from dicom_node.config import load_settings
    from dicom_node.doctor import passed
    from dicom_node.doctor.handshake import Handshake, destination_called
    from dicom_node.doctor.sheet import QUESTIONS, deletion
    from dicom_node.doctor.sheet import sheet as written
    from model.weights import read_manifest

    settings = load_settings(config)
    peer = destination_called(name, settings)
    out = console()
    with Handshake(settings, peer, read_manifest(settings.model.folder)) as trial:
        found = _shown(trial.look(), as_json=as_json)
        sends = yes or (not as_json and _agreed(peer.name, len(trial.specimens)))
        if sends:
            found += _shown(trial.send(), as_json=as_json)
            found += _shown(trial.read_back(), as_json=as_json)
        if sheet is not None:
            sheet.write_text(written(trial, found, when=moment(time.time()), sent=sends), encoding="utf-8")
    code = _closed(found, as_json=as_json)
    if not as_json:
        out.print("\nTo ask the people of the PACS:")
        for question in QUESTIONS:
            out.print(plain(f"  {question}"), soft_wrap=True)
        if sends:
            out.print()
            out.print(plain(f"To delete the test study: {deletion()}"), soft_wrap=True)
        if sheet is not None:
            out.print()
            out.print(plain(f"The sheet is in {sheet}."), soft_wrap=True)
    # a trial that was not carried out has proved nothing
    raise typer.Exit(code if sends and passed(found) else 1)


def _agreed(name: str, count: int) -> bool:
    """Whether the person at the terminal wants the test study sent; nobody there has not agreed."""
    from dicom_node.doctor.specimen import PATIENT_ID, PATIENT_NAME

    question = f"Store a test study ({count} objects, patient {PATIENT_NAME}, ID {PATIENT_ID}) in {name}?"
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False


def _shown(checks: "Iterable[Check]", *, as_json: bool) -> "list[Check]":
    """Each check as it is made."""
    from dicom_node.cli.terminal import console, plain
    from dicom_node.doctor import Health

    found = []
    out = console()
    styles = {Health.OK: "green", Health.WARNING: "yellow", Health.FAILED: "bold red"}
    for check in checks:
        found.append(check)
        if not as_json:
            line = plain(f"{check.health.value:<8}", styles[check.health])
            out.print(line.append_text(plain(f" {check.what:<14} {check.said}", "not bold default")), soft_wrap=True)
            if check.advice:
                out.print(plain(f"{'':24}{check.advice}", "dim"), soft_wrap=True)
    return found


def _closed(found: "list[Check]", *, as_json: bool) -> int:
    """The last line, or the JSON; the exit code."""
    import json
    from dataclasses import asdict

    from dicom_node.cli.terminal import console
    from dicom_node.doctor import Health

    failed = sum(check.health is Health.FAILED for check in found)
    warned = sum(check.health is Health.WARNING for check in found)
    if as_json:
        print(json.dumps([asdict(check) for check in found], indent=2))
    elif failed or warned:
        console().print(f"\n{failed} failed, {warned} with a warning.")
    else:
        console().print("\nAll is well.")
    return 1 if failed else 0
