"""The deliver role: a thread for each association to a destination that is sent to, each destination that is asked for
commitment and each peer that asks for one, one that records outcomes and one that keeps claims alive."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from dicom_node.alive import HEARTBEAT, say_alive
from dicom_node.audit import trail
from dicom_node.config import Ask, PeerSection, Role, Settings
from dicom_node.deliver.audited import Audited
from dicom_node.deliver.circuit import Circuit
from dicom_node.deliver.commitment import CommitmentSCU
from dicom_node.deliver.commitment_report import CommitmentReports
from dicom_node.deliver.destination import Destination
from dicom_node.deliver.kinds import destination_of
from dicom_node.deliver.last_look import Fetch, LastLook
from dicom_node.deliver.outbox import LEASE, Outbox
from dicom_node.deliver.recorder import Recorder
from dicom_node.domain import Mode
from dicom_node.errors import Retryable
from dicom_node.ledger import Channel, Ledger, commitments, leases, lookup, overview
from dicom_node.ledger.rows import StudyRow
from dicom_node.query.archive import HeldInstance
from dicom_node.query.asking import archive_of, asked_of, dicom_archive_of
from dicom_node.query.web import WebArchive
from dicom_node.spool import Spool

log = structlog.get_logger()

#: makes what takes in a file that a peer gave: the receiver's, whom this room does not know
TakingIn = Callable[[Settings, Ledger, PeerSection], Callable[[bytes], None]]

#: seconds between two extensions of what is held
_BEAT = LEASE / 3
#: seconds that the threads have to finish what they are sending, once the node stops
DRAIN = 8.0


def run(settings: Settings, stop: threading.Event, taking_in: TakingIn | None = None) -> None:
    """Send what is pending until `stop` is set: to a destination on `hold` what was released, to one `off` nothing.

    `taking_in`: how what the last look finds changed comes in, where it is had by DICOMweb; none: it is held.
    Returns at most DRAIN seconds after that, and hands back what a stuck peer keeps a thread from ending.
    Raises SchemaMismatch for another version's ledger.
    """
    ledger = Ledger.for_settings(settings.node)
    try:
        with ledger.transaction() as tx:
            leases.reclaim_vanished(tx, now=time.time(), attempts_allowed=settings.analyse.attempts)
        _say_what_stays(ledger, settings)
        _forgo_commitments(ledger, settings)
        with contextlib.ExitStack() as stack:
            outboxes = _outboxes(settings, ledger, stack.enter_context(Recorder(ledger)), taking_in)
            threads = []
            listeners = []
            workers: list[tuple[Outbox | CommitmentSCU | CommitmentReports, Channel]] = [
                *((outbox, Channel.DELIVERIES) for outbox in outboxes),
                *((each, Channel.COMMITMENTS) for each in _commitments(settings, ledger)),
            ]
            for worker, channel in workers:
                listener = stack.enter_context(ledger.bell.listen(channel))
                name = f"{type(worker).__name__}-{worker.name}"
                thread = threading.Thread(target=worker.run, args=(listener, stop), name=name, daemon=True)
                thread.start()
                threads.append(thread)
                listeners.append(listener)
            alive_at = -HEARTBEAT
            while True:
                due = time.monotonic() - alive_at >= HEARTBEAT
                if due:
                    alive_at = time.monotonic()
                _beat(ledger, outboxes, says_alive=due)
                if stop.wait(_BEAT):
                    break
            for listener in listeners:
                listener.wake()
            _drain(outboxes, threads)
    finally:
        ledger.close()


def _outboxes(settings: Settings, ledger: Ledger, recorder: Recorder, taking_in: TakingIn | None) -> list[Outbox]:
    """A worker for each association that a destination may have."""
    spool = Spool(settings.node.folder / "spool")
    outboxes = []
    for peer in settings.destinations:
        if peer.mode is Mode.OFF:
            continue
        circuit = Circuit(settings.deliver)
        destination = _destination(peer, settings, ledger, spool, taking_in)
        outboxes += [
            Outbox(
                peer.name,
                destination,
                ledger=ledger,
                recorder=recorder,
                circuit=circuit,
                section=settings.deliver,
                owner=leases.owner(),
                workers=peer.associations,
                only_released=peer.mode is Mode.HOLD,
                commitment=peer.commitment,
            )
            for _ in range(peer.associations)
        ]
    return outboxes


def _commitments(settings: Settings, ledger: Ledger) -> list[CommitmentSCU | CommitmentReports]:
    """Who is asked for commitment, and who asks."""
    calling, section, tls = settings.node.ae_title, settings.deliver, settings.tls
    asked = [
        CommitmentSCU(
            peer, calling=calling, ledger=ledger, section=section, tls=tls, senders=_senders_to(peer.name, settings)
        )
        for peer in settings.destinations
        if peer.commitment and peer.mode is not Mode.OFF
    ]
    spool = Spool(settings.node.folder / "spool")
    asking = [
        CommitmentReports(peer, calling=calling, ledger=ledger, spool=spool, section=section, tls=tls)
        for peer in settings.peers
        if peer.asks_commitment
    ]
    return [*asked, *asking]


def _senders_to(destination: str, settings: Settings) -> list[str]:
    """Who sends images whose results go to `destination`."""
    return [peer.ae_title for peer in settings.sources if destination in peer.results_to]


def _forgo_commitments(ledger: Ledger, settings: Settings) -> None:
    """A destination that is no longer asked for commitment has what it stored, and that is the end of it."""
    for peer in settings.destinations:
        if not peer.commitment:
            with ledger.transaction() as tx:
                commitments.forgo(
                    tx, destination=peer.name, now=time.time(), reason="commitment is not asked for any more"
                )


def _destination(
    peer: PeerSection, settings: Settings, ledger: Ledger, spool: Spool, taking_in: TakingIn | None
) -> Destination:
    """The way to `peer`, audited where there is an audit trail."""
    destination = destination_of(
        peer, calling=settings.node.ae_title, section=settings.deliver, spool=spool, tls=settings.tls
    )

    def whose(sop_instance_uid: str) -> StudyRow | None:
        with ledger.reading() as tx:
            return lookup.study_of_result(tx, sop_instance_uid)

    if trail().is_on:
        destination = Audited(destination, peer, trail=trail(), whose=whose)
    return destination if peer.ask is Ask.OFF else _looking(destination, peer, settings, ledger, taking_in)


def _looking(
    destination: Destination, peer: PeerSection, settings: Settings, ledger: Ledger, taking_in: TakingIn | None
) -> Destination:
    """The way to `peer`, whose archive is asked for the image before each delivery."""
    asked = asked_of(peer, settings.peers)
    calling, section, tls = settings.node.ae_title, settings.deliver, settings.tls

    def sources(sop_instance_uid: str) -> lookup.Source | None:
        with ledger.reading() as tx:
            return lookup.source_of_result(tx, sop_instance_uid)

    archive = archive_of(asked, peer.ask, calling=calling, section=section, tls=tls)
    fetch: Fetch | None = None
    if asked.host:
        fetch = partial(dicom_archive_of(asked, calling=calling, section=section, tls=tls).send, to=calling)
    elif isinstance(archive, WebArchive) and taking_in is not None:
        fetch = partial(_retrieve, archive, taking_in(settings, ledger, asked))
    return LastLook(destination, archive=archive, sources=sources, fetch=fetch)


def _retrieve(archive: WebArchive, take_in: Callable[[bytes], None], images: Sequence[HeldInstance]) -> None:
    """By WADO-RS. Raises NodeError."""
    for image in images:
        take_in(archive.file(image))


def _say_what_stays(ledger: Ledger, settings: Settings) -> None:
    """Name the destinations that nothing is sent to although something is pending for them (law 9)."""
    modes = {peer.name: peer.mode for peer in settings.destinations}
    with ledger.reading() as tx:
        views = overview.destinations(tx, modes)
    for view in views:
        mode = modes.get(view.destination)
        if mode in (None, Mode.OFF) and view.pending:
            log.warning(
                "nothing is sent to this destination, what is pending for it stays: set its mode to send or hold, "
                "or `chexnode abandon` it",
                destination=view.destination,
                mode="not configured" if mode is None else mode.value,
                pending=view.pending,
            )


def _beat(ledger: Ledger, outboxes: list[Outbox], *, says_alive: bool) -> None:
    """Keep the claims, and say that this process lives. A ledger that is away is no reason to stop sending."""
    try:
        for outbox in outboxes:
            outbox.keep_hold()
        if says_alive:
            say_alive(ledger, Role.DELIVER)
    except Retryable as error:
        log.warning("no sign of life in the ledger", error=str(error))


def _drain(outboxes: list[Outbox], threads: list[threading.Thread]) -> None:
    """Wait for the threads; what one that is stuck still holds goes back to the ledger."""
    deadline = time.monotonic() + DRAIN
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    # what asks for and reports on commitments holds nothing
    for outbox, thread in zip(outboxes, threads, strict=False):
        if thread.is_alive():
            log.warning("did not finish in time, handing back what it was sending", destination=outbox.name)
            with contextlib.suppress(Retryable):  # then the lease ends by itself
                outbox.hand_back()
