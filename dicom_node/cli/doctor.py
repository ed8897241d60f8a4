"""`chexnode doctor`: is everything that the node needs there, and does every peer answer?"""

from typing import Annotated

import typer

from dicom_node.cli.options import CONFIG, Config


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a JSON list of what was looked at.")] = False,
    config: Config = CONFIG,
) -> None:
    """Check configuration, disk, ledger, model, GPU, processes and clocks, and ask every peer with C-ECHO.

    One line each: ok, warning, or failed with what to do about it. Exit code 0: nothing failed; 1: something did.
    """
    import json
    from dataclasses import asdict

    from dicom_node.cli.terminal import console, plain
    from dicom_node.doctor import Health, examine

    found = []
    out = console()
    styles = {Health.OK: "green", Health.WARNING: "yellow", Health.FAILED: "bold red"}
    for check in examine(config):
        found.append(check)
        if not as_json:
            line = plain(f"{check.health.value:<8}", styles[check.health])
            out.print(line.append_text(plain(f" {check.what:<14} {check.said}", "not bold default")), soft_wrap=True)
            if check.advice:
                out.print(plain(f"{'':24}{check.advice}", "dim"), soft_wrap=True)
    failed = sum(check.health is Health.FAILED for check in found)
    warned = sum(check.health is Health.WARNING for check in found)
    if as_json:
        print(json.dumps([asdict(check) for check in found], indent=2))
    elif failed or warned:
        out.print(f"\n{failed} failed, {warned} with a warning.")
    else:
        out.print("\nAll is well.")
    raise typer.Exit(1 if failed else 0)
