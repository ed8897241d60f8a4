"""`chexnode init`: writes a configuration in which every setting stands with its comment."""

import ipaddress
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from dicom_node.cli.options import CONFIG, Config, Yes
from dicom_node.domain import Profile

LOOPBACK = "127.0.0.1"
#: days: archives route priors along, and nobody waits for an overlay on those
MAX_STUDY_AGE = 7

#: (option, its value, question, default, check) -> the checked value
Take = Callable[[str, object, str, str, Callable[[str], str]], str]


def init(
    config: Config = CONFIG,
    ae_title: Annotated[str | None, typer.Option(help="The node's own AE title.")] = None,
    port: Annotated[int | None, typer.Option(help="The port at which the node listens.")] = None,
    listen: Annotated[
        str | None,
        typer.Option(help="The address to listen at; none: the one from which this host reaches the archive."),
    ] = None,
    archive_ae: Annotated[str | None, typer.Option(help="AE title of the archive that sends and gets results.")] = None,
    archive_host: Annotated[str | None, typer.Option(help="Address at which the archive listens.")] = None,
    archive_port: Annotated[int | None, typer.Option(help="Port at which the archive listens.")] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            help="Form of the results, by what the radiologists' viewer shows: strict, air, ohif, slicer, classic-pacs,"
            " sc-only; docs/results.md tells them apart."
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where the node keeps its data; none: chexnode-data beside the file.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a configuration that is there.")] = False,
    yes: Yes = False,
) -> None:
    """Write chexnode.toml: every setting explained, and your archive as the first peer.

    Asks for what no option says; with --yes it takes the defaults. Results are held until you go live: `chexnode
    status` shows them, `chexnode release` sends them, and the file says how to go live.
    """
    from dicom_node.cli.template import configuration
    from dicom_node.errors import ConfigurationError

    if config.exists() and not force:
        raise ConfigurationError(f"{config} is already there; --force replaces it, --config names another file")
    answer = _taker(ask=not yes)
    own = answer("--ae-title", ae_title, "AE title of this node", "CHEXNODE", _ae_title)
    archive = answer("--archive-ae", archive_ae, "AE title of your archive", "ARCHIVE", _ae_title)
    host = answer("--archive-host", archive_host, "Address of your archive", LOOPBACK, _host)
    archive_at = answer("--archive-port", archive_port, "Port of your archive", "104", _port)
    at = answer("--port", port, "Port at which this node listens", "11112", _port)
    address = answer("--listen", listen, "Address at which this node listens", _own_address(host), _address)
    form = answer("--profile", profile, f"Form of the results ({', '.join(Profile)})", Profile.STRICT, _profile)
    text = configuration(
        {
            "node": {"ae_title": own, "folder": (folder or config.parent / "chexnode-data").resolve()},
            "receive": {"host": address, "port": int(at)},
            "select": {"max_study_age": MAX_STUDY_AGE},
        },
        {
            "name": "archive",
            "ae_title": archive,
            "host": host,
            "port": int(archive_at),
            "sends": True,
            "results_to": ("archive",),
            "mode": "hold",
            "profile": form,
        },
    )
    _write(config, text)
    _say_what_next(config, f"{own} at {address}, port {at}", ipaddress.ip_address(address).is_loopback, host)


def _taker(*, ask: bool) -> Take:
    """Takes a value from its option, else from the terminal, else the default; says which option is wrong."""
    from dicom_node.errors import ConfigurationError

    def take(option: str, given: object, question: str, default: str, check: Callable[[str], str]) -> str:
        if given is None and ask:
            return str(typer.prompt(question, default=default, value_proc=_asked(check), err=True))
        try:
            return check(default if given is None else str(given))
        except ValueError as error:
            raise ConfigurationError(f"{option}: {error}") from error

    return take


def _asked(check: Callable[[str], str]) -> Callable[[str], str]:
    def process(text: str) -> str:
        try:
            return check(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return process


def _ae_title(text: str) -> str:
    from pydantic import TypeAdapter, ValidationError

    from dicom_node.sections import AETitle

    try:
        return TypeAdapter[str](AETitle).validate_python(text)
    except ValidationError as error:
        raise ValueError(f"{text!r} is no AE title: 1 to 16 characters of ASCII without backslash") from error


def _profile(text: str) -> str:
    if text not in set(Profile):
        raise ValueError(
            f"{text!r} is no form of results: choose {', '.join(Profile)}; docs/results.md tells them apart"
        )
    return text


def _port(text: str) -> str:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise ValueError(f"{text!r} is no port: 1 to 65535")
    return text


def _host(text: str) -> str:
    if not text.strip() or not text.isprintable() or " " in text.strip():
        raise ValueError(f"{text!r} is no address: an IP address or a host's name")
    return text.strip()


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError as error:
        raise ValueError(f"{text!r} is no IP address to listen at; 0.0.0.0 means every interface") from error


def _own_address(host: str) -> str:
    """The address from which this host reaches `host`, which is where the archive will find it; sends nothing."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, 104, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError:
        return LOOPBACK


def _write(config: Path, text: str) -> None:
    """Replace `config` at once; it loads, or it is not written. Raises ConfigurationError."""
    from dicom_node.config import load_settings, require_routes
    from dicom_node.errors import ConfigurationError

    try:
        config.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=config.parent, prefix=".chexnode-", suffix=".toml")
        draft = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            require_routes(load_settings(draft))
            draft.replace(config)
        except ConfigurationError as error:
            raise ConfigurationError(str(error).replace(str(draft), f"{config}, not written,")) from error
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{config} cannot be written: {error.strerror or error}") from error


def _say_what_next(config: Path, node: str, on_loopback: bool, host: str) -> None:
    option = "" if config == CONFIG else f" --config {config}"
    print(f"Wrote {config}: {node}.")
    print()
    print(f"  chexnode doctor{option}    checks it, and asks the archive with C-ECHO")
    print(f"  chexnode serve{option}     runs the node")
    print(f"  chexnode status{option}    shows what came in; results are held until you go live")
    print()
    print(f"Let the archive send chest X-rays to {node}. Going live is explained in {config}, at [[peers]].")
    if on_loopback and host != LOOPBACK and not host.startswith("localhost"):
        print(f"The node listens on loopback only, where {host} cannot reach it: set host of [receive].")
