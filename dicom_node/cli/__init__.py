"""The command line: one file a command; what a command needs is imported when it runs, so that --help is quick."""

import inspect
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from dicom_node import __version__

EPILOG = "Research use only: not a medical device. `chexnode COMMAND --help` tells more of each."


def main() -> None:
    """Run the command that the arguments name; an error of the node becomes one plain message and exit code 1."""
    from dicom_node.errors import NodeError

    try:
        application()()
    except NodeError as error:
        print(f"chexnode: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        # a file that may not be read, a disk that is full: the system's own words name what and why
        print(f"chexnode: {error}", file=sys.stderr)
        sys.exit(1)


def application() -> typer.Typer:
    """Every command, in the order in which somebody new needs them."""
    from dicom_node.cli.abandon import abandon
    from dicom_node.cli.accept import accept
    from dicom_node.cli.archive import archive
    from dicom_node.cli.backup import backup
    from dicom_node.cli.catch_up import catch_up
    from dicom_node.cli.conformance import conformance
    from dicom_node.cli.demo import demo
    from dicom_node.cli.doctor import doctor
    from dicom_node.cli.infer import infer
    from dicom_node.cli.init import init
    from dicom_node.cli.reanalyse import reanalyse
    from dicom_node.cli.recall import recall
    from dicom_node.cli.release import release
    from dicom_node.cli.resend import resend
    from dicom_node.cli.retry import retry
    from dicom_node.cli.roles import analyse, conclude, deliver, receive
    from dicom_node.cli.send import send
    from dicom_node.cli.serve import serve
    from dicom_node.cli.status import status
    from dicom_node.cli.support_bundle import support_bundle
    from dicom_node.cli.verify import verify

    app = typer.Typer(
        name="chexnode",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    panels: dict[str, tuple[Callable[..., None], ...]] = {
        "Start here": (demo, init, serve),
        "Without a network, or by hand": (infer, send, archive),
        "Look": (status, doctor, support_bundle, conformance),
        "Act": (release, retry, accept, abandon, reanalyse, recall, resend, catch_up),
        "Keep": (backup, verify),
        "One role alone, on a host of its own": (receive, analyse, conclude, deliver),
    }
    for panel, commands in panels.items():
        for command in commands:
            app.command(rich_help_panel=panel, help=_flowing(command))(command)
    return app


def _flowing(command: Callable[..., None]) -> str:
    """A command's docstring with each paragraph on one line: the terminal breaks it where it ends."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"chexnode {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and leave.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Mark abnormal regions on the chest X-rays that an archive sends, and write the marks back into it."""
