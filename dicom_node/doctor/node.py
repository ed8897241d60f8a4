"""The node at work: its ledger, its roles, and what waits for a person."""

import socket
import time
from collections.abc import Iterator, Sequence

from dicom_node import operate
from dicom_node.config import Role, Settings
from dicom_node.doctor.check import Check, failed, ok, warning
from dicom_node.errors import NodeError, SchemaMismatch
from dicom_node.ledger import Ledger, overview, processes
from dicom_node.ledger.overview import DestinationView, Queues
from dicom_node.ledger.processes import ProcessRow

#: seconds after which a report that a peer does not take is spoken of
_REPORT_IS_LATE = 900.0
#: seconds that a clock may be ahead of ours
_SKEW = 5.0


def checks(settings: Settings) -> Iterator[Check]:
    """Ledger, roles, listener, destinations' backlogs, quarantine."""
    now = time.time()
    try:
        ledger = Ledger.for_settings(settings.node)
    except SchemaMismatch as error:
        missing = "yet" in str(error)
        said, advice = str(error), "`chexnode serve` makes it" if missing else "see the message"
        yield warning("ledger", said, advice) if missing else failed("ledger", said, advice)
        yield _listener(settings, alive=False)
        return
    except NodeError as error:
        yield failed("ledger", str(error), "nothing can be received or analysed until it is there")
        return
    try:
        with ledger.reading() as tx:
            queues = overview.queues(tx)
            seen = processes.seen(tx)
            destinations = overview.destinations(tx, [peer.name for peer in settings.destinations])
    except NodeError as error:
        yield failed("ledger", str(error), "nothing can be received or analysed until it answers")
        return
    finally:
        ledger.close()
    kind = "PostgreSQL" if settings.node.ledger_url else f"SQLite in {settings.node.folder}"
    yield ok("ledger", f"{kind}; studies open: {queues.open_studies}, images to be analysed: {queues.queued_jobs}")
    yield from _roles(seen, now=now)
    yield _listener(settings, alive=any(row.role == Role.RECEIVE and operate.is_alive(row, now=now) for row in seen))
    yield from _backlogs(settings, destinations, now=now)
    yield from _commitments(settings, queues, destinations, now=now)
    if queues.failed_jobs:
        yield warning("analyses", f"failed, attempts spent: {queues.failed_jobs}", "chexnode retry --all")
    if queues.quarantined_instances:
        said = f"images that came under a UID which showed another picture: {queues.quarantined_instances}"
        yield warning("quarantine", said, "`chexnode status` lists them")


def _roles(seen: Sequence[ProcessRow], *, now: float) -> Iterator[Check]:
    alive = {row.role for row in seen if operate.is_alive(row, now=now)}
    if not alive:
        yield warning("roles", "the node is not running", "chexnode serve")
        return
    if missing := [role.value for role in Role if role.value not in alive]:
        said = f"{', '.join(missing)} said nothing for {operate.SILENT_AFTER:.0f} s"
        yield failed("roles", said, "look at the log of `chexnode serve`, or start the role where it should run")
    else:
        yield ok("roles", f"{', '.join(sorted(alive))} are alive")
    ahead = max((row.seen_at - now for row in seen), default=0.0)
    if ahead > _SKEW:
        hosts = ", ".join(sorted({row.host for row in seen if row.seen_at - now > _SKEW}))
        yield failed("clock", f"{hosts} is {ahead:.0f} s ahead of this machine", "let NTP set both clocks")


def _listener(settings: Settings, *, alive: bool) -> Check:
    """Whether somebody answers where the node listens, and whether that is the node."""
    host, port = settings.receive.host, settings.receive.port
    where = f"{host}:{port}"
    try:
        socket.create_connection((host, port), timeout=settings.deliver.connect_timeout).close()
    except OSError as error:
        if not alive:
            return warning("listener", f"nobody listens at {where}", "chexnode serve")
        # alive perhaps on another host: its address is not ours to reach
        why = error.strerror or str(error)
        return warning("listener", f"receive is alive, but not reachable at {where}: {why}", "is it on another host?")
    if not alive:
        advice = "stop it, or set port of [receive]"
        return failed("listener", f"something else listens at {where}", advice)
    return ok("listener", f"{settings.node.ae_title} at {where}")


def _commitments(
    settings: Settings, queues: Queues, views: Sequence[DestinationView], *, now: float
) -> Iterator[Check]:
    """Destinations that do not commit, peers that do not take what the node reports."""
    timeouts = {peer.name: peer.commitment_timeout for peer in settings.destinations}
    ours = f"{settings.node.ae_title} at port {settings.receive.port}"
    for view in views:
        waited = 0.0 if view.uncommitted_since is None else now - view.uncommitted_since
        if view.uncommitted and waited > timeouts.get(view.destination, 0.0):
            said = (
                f"{view.destination} has stored, but not committed to keeping, for up to {waited / 3600:.1f} h: "
                f"{view.uncommitted}"
            )
            advice = f"its report calls back: does it know {ours}? Or: chexnode abandon {view.destination}"
            yield warning("commitments", said, advice)
    if queues.owed_since is not None and now - queues.owed_since > _REPORT_IS_LATE:
        said = f"reports on commitments that peers asked for and do not take: {queues.owed_reports}"
        yield warning("commitments", said, "do the peers with asks_commitment listen at their host and port?")


def _backlogs(settings: Settings, views: Sequence[DestinationView], *, now: float) -> Iterator[Check]:
    configured = {peer.name for peer in settings.destinations}
    for view in views:
        name = view.destination
        if operate.is_dead(view, dead_after=settings.deliver.dead_after, now=now):
            hours = (now - (view.oldest or now)) / 3600
            said = f"{name} is dead: results waiting for up to {hours:.1f} h: {view.pending}"
            error = f" ({view.last_error})" if view.last_error else ""
            yield failed("deliveries", said + error, f"mend it, or: chexnode abandon {name}")
        if view.failed:
            advice = f"chexnode retry --destination {name}"
            yield warning("deliveries", f"results that {name} refused for good: {view.failed}", advice)
        if view.held:
            advice = f"chexnode release --destination {name}"
            yield warning("deliveries", f"results held for {name}: {view.held}", advice)
        if name not in configured:
            waiting = view.pending + view.held + view.failed
            said = f"results for {name}, which the configuration does not name: {waiting}"
            yield warning("deliveries", said, f"name it under [[peers]], or: chexnode abandon {name}")
