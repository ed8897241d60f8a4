"""`chexnode infer`: files and folders, with no network and no configuration."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dicom_node.domain import Profile

if TYPE_CHECKING:
    from dicom_node.cli.outputs import Entry
    from dicom_node.sections import ModelSection
    from model.contract import Predictor

#: exit code when some files were unreadable
SOME_UNREADABLE = 2


def infer(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders with them.", metavar="PATH")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for findings.json and the images' results.")],
    threshold: Annotated[
        float | None, typer.Option(help="Confidence from which a finding is drawn; none: the model's operating point.")
    ] = None,
    device: Annotated[
        Literal["auto", "cuda", "cpu"], typer.Option(help="Where the model runs; auto: a GPU when there is one.")
    ] = "auto",
    model: Annotated[
        Path | None, typer.Option(help="A folder with a manifest and its weights; none: the model that ships.")
    ] = None,
    profile: Annotated[
        Profile, typer.Option(help="Which DICOM objects are written, and in which form; see docs/results.md.")
    ] = Profile.STRICT,
) -> None:
    """Analyse files or folders: which are frontal chests, what looks abnormal on them, and where.

    Writes OUT/findings.json, a list with one object a file, and for each image that was read a folder, named by its SOP
    Instance UID (by its digest where that is malformed or not unique), with seg.dcm, sc.dcm and overlay.png. The list
    holds every candidate down to a low confidence; drawn are those from the threshold on. There is no seg.dcm when none
    is. Another --profile writes its own objects in their place; a report (SR) of each study lies in OUT/reports.

    Exit code 0: every file was handled, those included that are not ours to read; 2: some were unreadable, each is
    named with its reason; 1: it could not run.
    """
    from dicom_node.cli.examining import Run
    from dicom_node.cli.inputs import inputs
    from dicom_node.errors import ConfigurationError
    from dicom_node.sections import ModelSection

    if threshold is not None and not 0 < threshold < 1:
        raise typer.BadParameter(
            f"{threshold:g} is no confidence: more than 0 and less than 1", param_hint="--threshold"
        )
    found = inputs(paths, leave_out=out)
    if not found:
        raise ConfigurationError(f"there is no file in {', '.join(map(str, paths))}: nothing was analysed")
    section = ModelSection(folder=model, device=device, threshold=threshold)
    entries, listing = Run(section, _predictor(section), out, profile=profile).over(found)
    unreadable = _say(entries, listing)
    raise typer.Exit(SOME_UNREADABLE if unreadable else 0)


def _predictor(section: "ModelSection") -> "Predictor":
    """Raises ConfigurationError for a model or a device that cannot be used, a threshold that was never validated."""
    from dicom_node.analyse.results import require_threshold
    from dicom_node.errors import ConfigurationError
    from model.contract import ModelError
    from model.weights import read_manifest

    try:
        require_threshold(section, read_manifest(section.folder))
        # torch takes seconds to load: only now is it certain that there is something for it to do
        from model.predictor import load_predictor

        return load_predictor(section.folder, section.device)
    except ModelError as error:
        raise ConfigurationError(str(error)) from error


def _say(entries: "list[Entry]", listing: Path) -> int:
    """The summary, and every unreadable file by name; how many those are."""
    from dicom_node.cli.terminal import console, counted, plain

    by_status: dict[str, list[Entry]] = {"analysed": [], "declined": [], "unreadable": []}
    for entry in entries:
        by_status[str(entry.values["status"])].append(entry)
    drawn = sum(entry.drawn > 0 for entry in entries)
    err = console(stderr=True)
    for entry in by_status["unreadable"]:
        err.print(plain(f"unreadable: {entry.values['path']}: {entry.values['reason']}", "red"), soft_wrap=True)
    counts = ", ".join(f"{len(group)} {status}" for status, group in by_status.items())
    out = console()
    out.print(f"{counted(len(entries), 'file')}: {counts}. Something was drawn on {counted(drawn, 'image')}.")
    out.print(plain(f"{listing}"), soft_wrap=True)
    return len(by_status["unreadable"])
