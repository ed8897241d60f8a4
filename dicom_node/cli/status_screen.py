"""What `chexnode status` prints for people."""

from collections.abc import Iterator

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dicom_node import __version__
from dicom_node.cli.standing import Line, Waits, instance_line, study_lines
from dicom_node.cli.status import Status
from dicom_node.cli.terminal import ago, console, counted, duration, moment, plain
from dicom_node.config import Role
from dicom_node.ledger.overview import MOST_COUNTED, DestinationView, InstanceView, StudyView
from dicom_node.operate import is_alive, is_dead

#: the style of what somebody must act on
WANTED = "yellow"


def print_status(look: Status) -> None:
    """The node, its destinations, what is in quarantine, and the studies; of one study alone: each of its images."""
    out = console()
    if look.meaning:
        out.print(plain(look.meaning), soft_wrap=True)
    if not look.one:
        _print_node(out, look)
        _print_destinations(out, look)
        _print_quarantine(out, look)
    for view in look.studies:
        out.print()
        _print_study(out, view, look)
    if not look.studies:
        out.print("\nNo study has come yet.")


def _print_node(out: Console, look: Status) -> None:
    receive = look.settings.receive
    title = plain(f"{look.settings.node.ae_title} at {receive.host}:{receive.port}", "bold")
    out.print(title.append(f"   chexnode {__version__}   {moment(look.now)}", "not bold dim"))
    out.print(_roles(look))
    for certificate in look.certificates:
        _print_line(out, Line(text=f"certificate {certificate}", command="chexnode doctor", wanted=True), indent=0)
    queues = look.queues
    urgent = f" ({_many(queues.urgent_jobs)} of them urgent)" if queues.urgent_jobs else ""
    out.print(
        f"{_many(queues.open_studies, 'study', 'studies')} open, {_many(queues.complete_studies)} complete; "
        f"{_many(queues.queued_jobs, 'image')} waiting to be analysed{urgent}, {queues.running_jobs} under way"
    )
    if queues.pledged_instances or queues.owed_reports:
        waiting = f"; {counted(queues.owed_reports, 'peer')} waiting for a report" if queues.owed_reports else ""
        pledged = _many(queues.pledged_instances, "image")
        out.print(f"{pledged} pledged to peers, kept until an archive commits to them{waiting}")
    if queues.failed_jobs:
        failed = f"{_many(queues.failed_jobs, 'analysis', 'analyses')} failed; try again"
        _print_line(out, Line(text=failed, command="chexnode retry --all", wanted=True), indent=0)


def _many(count: int, noun: str = "", plural: str = "") -> str:
    """A count of what is counted no further than MOST_COUNTED."""
    if count > MOST_COUNTED:
        return f"more than {MOST_COUNTED} {plural or noun + 's' if noun else ''}".rstrip()
    return counted(count, noun, plural) if noun else str(count)


def _roles(look: Status) -> Text:
    """Every role and when it last said that it is alive."""
    if not look.processes:
        return Text("not running: start it with chexnode serve", "bold red")
    line = Text()
    for role in Role:
        seen = [row for row in look.processes if row.role == role.value]
        alive = [row for row in seen if is_alive(row, now=look.now)]
        if alive:
            line.append(f"{role.value} alive" + (f" ({len(alive)} processes)" if len(alive) > 1 else ""), "green")
        elif seen:
            line.append(f"{role.value} silent, seen {ago(seen[0].seen_at, look.now)}", "bold red")
        else:
            line.append(f"{role.value} not running", "bold red")
        line.append("   ")
    line.rstrip()
    return line


def _print_destinations(out: Console, look: Status) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("destination", "mode", "held", "waiting", "refused", "last success"):
        table.add_column(heading, overflow="fold")
    modes = {peer.name: peer.mode for peer in look.settings.destinations}
    for view in look.destinations:
        mode = modes.get(view.destination)
        table.add_row(
            plain(view.destination),
            Text("not configured", "yellow") if mode is None else mode.value,
            *(_many(count) if count else "-" for count in (view.held, view.pending, view.failed)),
            "never" if view.last_success is None else ago(view.last_success, look.now),
        )
    out.print()
    out.print(table)
    for view in look.destinations:
        for line in _about(view, look):
            _print_line(out, line, indent=2)


def _about(view: DestinationView, look: Status) -> Iterator[Line]:
    name = view.destination
    if is_dead(view, dead_after=look.settings.deliver.dead_after, now=look.now):
        waits = f"{_many(view.pending, 'result')} waiting for {duration(look.now - (view.oldest or look.now))}"
        took = "it never took anything" if view.last_success is None else f"nothing since {moment(view.last_success)}"
        error = f" ({view.last_error})" if view.last_error else ""
        text = f"{name} is dead: {waits}, {took}{error}. Mend it, or give them up"
        yield Line(text=text, command=f"chexnode abandon {name}", wanted=True)
    elif view.pending and view.last_error:
        yield Line(text=f"{name} did not take the last one: {view.last_error}")
    if view.uncommitted and view.uncommitted_since is not None:
        waited = look.now - view.uncommitted_since
        late = any(peer.name == name and waited > peer.commitment_timeout for peer in look.settings.destinations)
        text = f"{name} stored {_many(view.uncommitted, 'result')} and has not committed to keeping them"
        yield Line(text=f"{text}, the first {ago(view.uncommitted_since, look.now)}", wanted=late)
    if view.held:
        yield Line(text=f"{name}: send what is held", command=f"chexnode release --destination {name}", wanted=True)
    if view.failed:
        yield Line(
            text=f"{name}: try again what it refused", command=f"chexnode retry --destination {name}", wanted=True
        )


def _print_quarantine(out: Console, look: Status) -> None:
    if not look.quarantined:
        return
    head = "In quarantine: another picture came under a UID that was known. Both are kept."
    out.print()
    out.print(plain(head, WANTED))
    for row in look.quarantined:
        came = f"received {ago(row.received_at, look.now)} from {row.calling_ae_title}"
        _print_line(out, Line(text=came, command=f"chexnode accept {row.digest[:12]}", wanted=True), indent=2)
        _print_indented(out, plain(row.sop_instance_uid, "dim"), indent=4)


def _print_study(out: Console, view: StudyView, look: Status) -> None:
    accession = f"accession {view.study.accession_number}" if view.study.accession_number else "no accession number"
    out.print(plain(f"{accession}  ", "bold").append_text(plain(view.study.study_instance_uid, "not bold")))
    conclude = look.settings.conclude
    waits = Waits(quiet_period=conclude.quiet_period, conclude_after=conclude.conclude_after)
    for line in study_lines(view, waits, now=look.now):
        _print_line(out, line, indent=2)
    if look.one:
        for instance in view.instances:
            _print_instance(out, instance, view, now=look.now)


def _print_instance(out: Console, instance: InstanceView, view: StudyView, *, now: float) -> None:
    row = instance.instance
    out.print()
    _print_indented(out, plain(f"image {row.sop_instance_uid}", "bold"), indent=2)
    _print_indented(out, plain(f"from {row.calling_ae_title}, {moment(row.received_at)}", "dim"), indent=4)
    _print_line(out, instance_line(instance, view, now=now), indent=4)
    for each in instance.jobs:
        if each.job.score is not None:
            found = f"score {each.job.score:.2f}, {counted(each.findings, 'candidate')} down to the model's floor"
            _print_indented(out, plain(found, "dim"), indent=4)


def _print_line(out: Console, line: Line, *, indent: int) -> None:
    """A command stands on a line of its own where it would be broken: it is there to be copied."""
    style = WANTED if line.wanted else ""
    whole = f"{line.text}: {line.command}" if line.command else line.text
    if not line.command or indent + len(whole) <= out.width:
        _print_indented(out, plain(whole, style), indent=indent)
        return
    _print_indented(out, plain(f"{line.text}:", style), indent=indent)
    out.print(plain(" " * (indent + 2) + line.command, style), soft_wrap=True)


def _print_indented(out: Console, text: Text, *, indent: int) -> None:
    out.print(Padding(text, (0, 0, 0, indent), expand=False))
