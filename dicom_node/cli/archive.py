"""`chexnode archive`: a small archive on loopback, as awkward as it is told to be, to rehearse against."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from dicom_node.demo.archive import Archive
    from dicom_node.demo.router import Route

#: seconds between two looks at what has arrived, and at routes that fail
_LOOK = 0.5


def archive(
    folder: Annotated[
        Path | None, typer.Argument(help="Where it keeps what it gets; none: a new temporary folder.")
    ] = None,
    port: Annotated[int, typer.Option(help="The port of loopback that it listens at; 0: a free one.")] = 11113,
    ae_title: Annotated[str, typer.Option(help="What it calls itself; it takes any called AE title.")] = "ARCHIVE",
    to: Annotated[
        list[str] | None,
        typer.Option("--to", help="AE@HOST:PORT to route every study on to; may be given more than once."),
    ] = None,
    awkward: Annotated[
        str, typer.Option(help="Bad manners, by comma; `list` explains each. None: it behaves.", show_default=False)
    ] = "",
    stall: Annotated[float, typer.Option(help="Seconds for which it stalls, told to.")] = 60.0,
    pause: Annotated[float, typer.Option(help="Seconds after which it routes a study again, told to.")] = 5.0,
) -> None:
    """Run a small archive that takes every storage class, keeps files, and has the bad manners that you choose.

    For whoever makes something that stores into archives, this node or another: it coerces headers, recompresses,
    refuses segmentations, hangs up after storing, sends results back, merges patients, repeats itself, stalls.
    It listens on loopback alone, answers no queries, and runs until Ctrl-C.
    """
    import structlog

    from dicom_node.cli.terminal import console
    from dicom_node.demo.archive import Archive
    from dicom_node.demo.manners import EXPLAINED, manners

    out = console()
    if awkward == "list":
        for manner, what in EXPLAINED.items():
            out.print(f"{manner:<17} {what}", soft_wrap=True)
        return
    chosen = manners(awkward)
    # what arrives is told here in a line each; of the log, what went wrong
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    where = folder or Path(tempfile.mkdtemp(prefix="chexnode-archive-"))
    with Archive(
        where, ae_title=ae_title, port=port, routes=_routes(to or []), awkward=chosen, stall=stall, pause=pause
    ) as running:
        out.print(f"{ae_title} listens at 127.0.0.1, port {running.port}; it keeps files in {where}", soft_wrap=True)
        for manner in sorted(chosen):
            out.print(f"  {manner}: it {EXPLAINED[manner]}", soft_wrap=True)
        _tell(out, running)


def _routes(to: list[str]) -> "dict[str, Route]":
    """Raises ConfigurationError."""
    from dicom_node.cli.send import address
    from dicom_node.demo.router import Route

    routes = {}
    for text in to:
        title, host, port = address(text)
        routes[text] = Route(ae_title=title, host=host, port=port)
    return routes


def _tell(out: "Console", running: "Archive") -> None:
    """Say what arrives and what cannot be routed, until Ctrl-C."""
    told = 0
    trouble: dict[str, str] = {}
    try:
        while True:
            told += _arrivals(out, running, told)
            trouble = _troubles(out, running, trouble)
    except KeyboardInterrupt:
        out.print("Stopped.")


def _arrivals(out: "Console", running: "Archive", told: int) -> int:
    """What came after the first `told` objects, within a moment; how many there were."""
    from dicom_node.cli.terminal import plain

    running.wait(lambda: len(running.held()) > told, _LOOK)
    new = running.held()[told:]
    for kept in new:
        line = f"{kept.modality or '??':<4} {kept.sop_instance_uid} from {kept.calling_ae_title}"
        out.print(plain(line), soft_wrap=True)
    return len(new)


def _troubles(out: "Console", running: "Archive", told: dict[str, str]) -> dict[str, str]:
    """Say what is wrong with a route and was not told yet; what is wrong now."""
    from dicom_node.cli.terminal import plain

    current = {**running.router.trouble, **running.router.refused}
    for what, why in current.items():
        if told.get(what) != why:
            out.print(plain(f"not routed: {why}", "yellow"), soft_wrap=True)
    return current
