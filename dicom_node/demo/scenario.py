"""`chexnode demo`: an archive and the node on loopback, studies that travel between them, and what came of it."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from dicom_node.demo.archive import Archive
from dicom_node.demo.node import AE_TITLE, Node, free_port
from dicom_node.demo.returned import complaints, marks_of, overlay
from dicom_node.demo.router import Route
from dicom_node.demo.sending import send_all
from dicom_node.demo.studies import Study, found, shipped
from dicom_node.demo.watch import Watch, watch
from dicom_node.domain import DeliveryState, Kind
from dicom_node.errors import NodeError

#: columns where there is no terminal
PIPE_WIDTH = 160
#: AE title of whoever sends the studies to the archive
SENDER = "DEMO"


def run_demo(paths: Sequence[Path], stay: bool = False, folder: Path | None = None) -> int:
    """Run the demonstration in `folder` (none: a new temporary one) with the files of `paths` (none: three synthetic
    studies); `stay` keeps archive and node running until Ctrl-C. 0 when all came back that should, else 1.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    where = (folder or Path(tempfile.mkdtemp(prefix="chexnode-demo-"))).resolve()
    where.mkdir(parents=True, exist_ok=True)
    try:
        with _logged(where / "archive.log"):
            return _run(console, where, paths, stay)
    except NodeError as error:
        console.print(f"[red]The demonstration failed:[/] {_plain(error)}\nEverything is in {where}")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130


def _run(console: Console, where: Path, paths: Sequence[Path], stay: bool) -> int:
    port = free_port()
    route = Route(ae_title=AE_TITLE, host="127.0.0.1", port=port)
    with (
        Archive(where / "archive", routes={"node": route}) as archive,
        Node(where / "node", archive_ae_title=archive.ae_title, archive_port=archive.port, port=port) as node,
    ):
        studies = _studies(console, where, paths)
        console.print(f"Starting the node ({AE_TITLE}, port {port}) and an archive (ARCHIVE, port {archive.port})")
        node.wait_until_it_answers()
        watches = [Watch(study=study) for study in studies]
        for study in studies:
            files = [image.path for image in study.images]
            send_all(files, "127.0.0.1", archive.port, called=archive.ae_title, calling=SENDER)
        watch(archive, node, watches, console)
        problems = _conclude(console, where, archive, watches)
        if stay:
            _stay(console, archive, node)
    if problems:
        for problem in problems:
            console.print(f"[red]Not as it should be:[/] {_plain(problem)}")
        console.print(f"The node's log is {node.log_path}")
        return 1
    _connect(console)
    return 0


def _studies(console: Console, where: Path, paths: Sequence[Path]) -> Sequence[Study]:
    if not paths:
        films = where / "films"
        films.mkdir(exist_ok=True)
        console.print("Drawing three synthetic studies: an abnormal chest, a clean chest, a hand")
        return shipped(films, datetime.now().astimezone())
    sorted_out = found(paths)
    for path, why in sorted_out.left_out:
        console.print(f"[yellow]left out:[/] {_plain(path)}: {_plain(why)}")
    return sorted_out.studies


def _conclude(console: Console, where: Path, archive: Archive, watches: Sequence[Watch]) -> list[str]:
    """Write the overlays, print the table; what is not as it should be."""
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for heading in ("study", "found", "came back", "seconds"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left")
    problems, pictures = [], []
    for number, each in enumerate(watches, 1):
        seconds = each.seconds(archive)
        kinds = sorted(result.kind.upper() for result in each.results)
        came = ", ".join(f"{kinds.count(kind)} × {kind}" for kind in dict.fromkeys(kinds)) or "nothing"
        table.add_row(_plain(each.study.label), _found(each), came, "–" if seconds is None else f"{seconds:.1f}")
        problems += [*complaints(each.study, each.results, each.reasons()), *_undelivered(each)]
        captures = [result for result in each.results if result.kind is Kind.SC]
        for which, capture in enumerate(captures, 1):
            name = f"overlay-{number}.png" if len(captures) == 1 else f"overlay-{number}-{which}.png"
            pictures.append((each.study.label, overlay(capture, where / name)))
    console.print()
    console.print(table)
    console.print("\nseconds: from the study's last image in the archive to its last result in the archive")
    for each in watches:
        if each.refused:
            console.print(f"{_plain(each.study.label)}: {_plain(each.refused)}", soft_wrap=True)
    for label, path in pictures:
        console.print(f"{_plain(label)}: {path}", soft_wrap=True)
    return problems


def _found(each: Watch) -> str:
    """What the node says of a study, in a few words."""
    segs = [result for result in each.results if result.kind is Kind.SEG]
    if segs:
        count = sum(len(marks_of(seg)) for seg in segs)
        return f"{count} marked region{'s' * (count != 1)}"
    if any(result.kind is Kind.SC for result in each.results):
        return "nothing to mark"
    why = each.reasons() + ["refused by the node"] * bool(each.refused)
    return "not analysed: " + (", ".join(why) or "no reason given")


def _undelivered(each: Watch) -> list[str]:
    deliveries = each.view.deliveries if each.view else ()
    return [
        f"{each.study.label}: a {delivery.kind.upper()} did not get back to the archive: {delivery.last_error}"
        for delivery in deliveries
        if delivery.state is not DeliveryState.STORED
    ]


def _stay(console: Console, archive: Archive, node: Node) -> None:
    console.print(
        f"\nEverything keeps running until Ctrl-C. Send more to {archive.ae_title} at 127.0.0.1, port {archive.port} "
        f"(it routes to {AE_TITLE}, port {node.port}), for example\n"
        f"  chexnode send YOUR_FILES --to {archive.ae_title}@127.0.0.1:{archive.port} --calling {SENDER}\n"
        f"  chexnode status --config {node.settings_path}",
        soft_wrap=True,
    )
    try:
        while True:
            archive.wait(lambda: False, 1.0)
            node.check()
    except KeyboardInterrupt:
        console.print("Stopping.")


def _connect(console: Console) -> None:
    console.print(
        "\nTo connect your PACS:\n"
        "  1. chexnode init      asks for the AE titles and your archive's address, writes chexnode.toml\n"
        "  2. chexnode serve     runs the node; chexnode doctor checks everything that it needs\n"
        "  3. in the PACS        route chest X-rays to the node's AE title and port, and let it store results"
    )


def _plain(value: object) -> str:
    """Text of others without what rich would take for markup, and without control characters."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in str(value)).replace("[", "\\[")


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """The archive's log goes into a file: the screen is for the reader."""
    with path.open("a") as file:
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=file))
        try:
            yield
        finally:
            structlog.reset_defaults()
