"""`chexnode send`: pushes files or folders to any AE."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicom_node.cli.options import CONFIG, Config

if TYPE_CHECKING:
    from dicom_node.dimse.association import Timeouts

#: what the node calls itself where no configuration says otherwise
CALLING = "CHEXNODE"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom to send to, and as whom."""

    host: str
    port: int
    called: str
    calling: str
    timeouts: "Timeouts"


def send(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders with them.", metavar="PATH")],
    to: Annotated[str, typer.Option("--to", help="AE@HOST:PORT, or the name of a peer in the configuration.")],
    calling: Annotated[
        str | None, typer.Option(help=f"AE title to call from; none: the node's, {CALLING} without a configuration.")
    ] = None,
    config: Config = CONFIG,
) -> None:
    """Send DICOM files to an archive, to the node, or to whoever listens: C-STORE, each file as it is.

    Needs no configuration when the AE is given in full: chexnode send films/ --to ARCHIVE@10.0.0.5:104

    Exit code 0: all were stored; 1: each file that was not is named with the reason.
    """
    from dicom_node.cli.inputs import inputs
    from dicom_node.errors import ConfigurationError

    target = _target(to, calling, config)
    found = inputs(paths)
    if not found:
        raise ConfigurationError(f"there is no file in {', '.join(map(str, paths))}: nothing was sent")
    failures = [(each.path, each.obstacle) for each in found if each.obstacle]
    failures += _send([each.path for each in found if not each.obstacle], target)
    _say(len(found), failures, target)
    raise typer.Exit(1 if failures else 0)


def _target(to: str, calling: str | None, config: Path) -> Target:
    """Raises ConfigurationError, NotFound."""
    from dicom_node.config import Settings, load_settings
    from dicom_node.dimse.association import Timeouts
    from dicom_node.errors import NotFound

    in_full = "@" in to
    settings = load_settings(config) if config.exists() or not in_full else None
    limits = (settings or Settings()).deliver
    timeouts = Timeouts(connect=limits.connect_timeout, response=limits.response_timeout)
    own = calling or (settings.node.ae_title if settings is not None else CALLING)
    if in_full:
        called, host, port = address(to)
        return Target(host=host, port=port, called=called, calling=own, timeouts=timeouts)
    peers = settings.peers if settings is not None else ()
    for peer in peers:
        if peer.name == to and peer.host:
            return Target(host=peer.host, port=peer.port, called=peer.ae_title, calling=own, timeouts=timeouts)
    known = ", ".join(peer.name for peer in peers if peer.host) or "none"
    raise NotFound(f"no peer with a host is called {to} in {config}; there are: {known}. Or give AE@HOST:PORT")


def address(to: str) -> tuple[str, str, int]:
    """'AE@HOST:PORT' in its parts; an IPv6 address stands in brackets. Raises ConfigurationError."""
    from pydantic import TypeAdapter, ValidationError

    from dicom_node.errors import ConfigurationError
    from dicom_node.sections import AETitle

    title, _, place = to.rpartition("@")
    host, _, port = place.rpartition(":")
    try:
        called = TypeAdapter[str](AETitle).validate_python(title)
    except ValidationError as error:
        raise ConfigurationError(f"--to: {title!r} is no AE title: 1 to 16 characters without backslash") from error
    if not host or not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ConfigurationError(f"--to: {to!r} is not AE@HOST:PORT, such as ARCHIVE@10.0.0.5:104")
    return called, host.strip("[]"), int(port)


def _send(files: Sequence[Path], target: Target) -> list[tuple[Path, str]]:
    """What was not stored, and why; a peer's warnings are said as they come."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from dicom_node.cli.terminal import console, plain
    from dicom_node.dimse.sending import send_files
    from dicom_node.errors import PeerUnavailable, Refused

    failures = []
    left = dict.fromkeys(files)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    err = console(stderr=True)
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(f"to {target.called}", total=len(files))
        try:
            for sent in send_files(
                files,
                target.host,
                target.port,
                called=target.called,
                calling=target.calling,
                timeouts=target.timeouts,
            ):
                del left[sent.path]
                progress.advance(task)
                if not sent.stored:
                    failures.append((sent.path, sent.detail))
                elif sent.detail:
                    progress.console.print(plain(f"{sent.path}: stored, with {sent.detail}", "yellow"), soft_wrap=True)
        except (PeerUnavailable, Refused) as error:
            failures += [(path, str(error)) for path in left]
    return failures


def _say(count: int, failures: Sequence[tuple[Path, str]], target: Target) -> None:
    from dicom_node.cli.terminal import console, counted, plain

    err = console(stderr=True)
    for path, why in failures:
        err.print(plain(f"not stored: {path}: {why}", "red"), soft_wrap=True)
    stored = count - len(failures)
    where = f"{target.called} at {target.host}:{target.port}"
    text = f"{stored} of {counted(count, 'file')} stored by {where}, called as {target.calling}."
    console().print(plain(text), soft_wrap=True)
