"""Where each study of a demonstration is, asked of the archive and of the node's ledger, shown as it changes."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table

from dicom_node.demo.archive import Archive
from dicom_node.demo.node import Node
from dicom_node.demo.returned import Returned, results_of
from dicom_node.demo.studies import Study
from dicom_node.domain import DeliveryState, JobState, StudyState
from dicom_node.errors import Permanent
from dicom_node.ledger import Ledger, overview
from dicom_node.ledger.overview import StudyView

#: seconds without any change anywhere after which a demonstration gives up
PATIENCE = 120.0
_ENDED = (DeliveryState.STORED, DeliveryState.FAILED, DeliveryState.ABANDONED)


@dataclass(kw_only=True)
class Watch:
    """One study on its way; `look` brings it up to date."""

    study: Study
    step: str = "not sent yet"
    ended: bool = False
    #: what the node said to images that it does not take; empty: it took all of them
    refused: str = ""
    view: StudyView | None = None
    results: list[Returned] = field(default_factory=list)

    def look(self, archive: Archive, view: StudyView | None) -> None:
        """Take in what archive and ledger say now."""
        self.view = view
        self.results = results_of(archive, self.study.study_instance_uid)
        self.step, self.ended = _step(view, {r.kept.sop_instance_uid for r in self.results})
        self.refused = archive.router.refused.get(self.study.study_instance_uid, "")
        if view is None and self.refused:
            self.step, self.ended = "refused by the node", True
        elif view is None and archive.held(study=self.study.study_instance_uid):
            self.step = "in the archive"

    def seconds(self, archive: Archive) -> float | None:
        """From the arrival of the study's last image in the archive to that of its last result; None without one."""
        sources = {image.sop_instance_uid for image in self.study.images}
        arrivals = [k.arrived_at for k in archive.held() if k.sop_instance_uid in sources]
        if not self.results or not arrivals:
            return None
        return max(result.kept.arrived_at for result in self.results) - max(arrivals)

    def reasons(self) -> list[str]:
        """Why images of the study were not analysed: codes, each once."""
        jobs = [job.job for instance in self.view.instances for job in instance.jobs] if self.view else []
        return list(dict.fromkeys(str(job.reason) for job in jobs if job.reason is not None))


def _step(view: StudyView | None, returned: set[str]) -> tuple[str, bool]:
    """How far a study is, for people, and whether that was the last step."""
    if view is None:
        return "not sent yet", False
    jobs = [job.job for instance in view.instances for job in instance.jobs]
    if view.study.state is not StudyState.CONCLUDED:
        if any(job.state is JobState.RUNNING for job in jobs):
            return "the node reads it", False
        if jobs and not any(job.state is JobState.QUEUED for job in jobs):
            return "read; the node waits for the study to be quiet", False
        return "with the node", False
    back = sum(delivery.sop_instance_uid in returned for delivery in view.deliveries)
    if not view.deliveries:
        return "nothing to send back", True
    ended = all(
        d.state in _ENDED and (d.state is not DeliveryState.STORED or d.sop_instance_uid in returned)
        for d in view.deliveries
    )
    return f"{back} of {len(view.deliveries)} results back in the archive", ended


def watch(archive: Archive, node: Node, watches: Sequence[Watch], console: Console) -> None:
    """Show the way of the studies until each has ended. Raises Permanent when the node dies or nothing moves."""
    ledger = node.ledger()
    try:
        with _shown(console, watches) as show:
            _until_ended(archive, node, ledger, watches, show)
    finally:
        ledger.close()


def _until_ended(
    archive: Archive, node: Node, ledger: Ledger, watches: Sequence[Watch], show: Callable[[], None]
) -> None:
    seen, moved_at = "", time.monotonic()
    while True:
        node.check()
        with ledger.reading() as tx:
            for each in watches:
                views = overview.studies(tx, study_uid=each.study.study_instance_uid, limit=1)
                each.look(archive, views[0] if views else None)
        show()
        if all(each.ended for each in watches):
            return
        now = time.monotonic()
        steps = "\n".join(each.step for each in watches)
        if steps != seen:
            seen, moved_at = steps, now
        if now - moved_at > PATIENCE:
            raise Permanent(_stuck(archive, node, watches))
        archive.wait(lambda: False, 0.2)


def _stuck(archive: Archive, node: Node, watches: Sequence[Watch]) -> str:
    waiting = "; ".join(f"{each.study.label}: {each.step}" for each in watches if not each.ended)
    trouble = "".join(f"\nrouting to the node fails: {why}" for why in archive.router.trouble.values())
    errors = {d.last_error for each in watches if each.view for d in each.view.deliveries if d.last_error}
    told = "".join(f"\nsending to the archive fails: {why}" for why in sorted(errors))
    return f"nothing has moved for {PATIENCE:.0f} s ({waiting}){trouble}{told}\nthe node's log is {node.log_path}"


@contextmanager
def _shown(console: Console, watches: Sequence[Watch]) -> Iterator[Callable[[], None]]:
    """On a terminal a table that lives; elsewhere a line whenever a study takes a step."""
    began = time.monotonic()
    if console.is_terminal:
        with Live(console=console, transient=True) as live:
            yield lambda: live.update(_table(watches, time.monotonic() - began))
        return
    told: dict[int, str] = {}

    def tell() -> None:
        for number, each in enumerate(watches):
            if told.get(number) != each.step:
                told[number] = each.step
                console.print(f"{time.monotonic() - began:5.1f} s  {each.study.label}: {each.step}", markup=False)

    yield tell


def _table(watches: Sequence[Watch], seconds: float) -> Table:
    table = Table.grid(padding=(0, 2))
    for each in watches:
        mark = "[green]✓[/]" if each.ended else "[yellow]…[/]"
        table.add_row(mark, each.study.label, each.step)
    table.add_row("", f"{seconds:.0f} s", "", style="dim")
    return table
