"""When a study is whole: open → complete once quiet → concluded once its jobs have ended or the wait is over."""

from collections.abc import Callable, Iterable

import structlog

from dicom_node.conclude.report import Reporter
from dicom_node.conclude.route import profiles_of_study, route_study
from dicom_node.errors import OutOfRoom, StorageFault
from dicom_node.ledger import Ledger, caught_up, results, studies
from dicom_node.ledger.deliveries import queue_deliveries
from dicom_node.ledger.rows import StudyRow
from dicom_node.peer import PeerSection
from dicom_node.sections import ConcludeSection

log = structlog.get_logger()


def complete_quiet(ledger: Ledger, section: ConcludeSection, *, now: float) -> int:
    """OPEN → COMPLETE for each study that `quiet_period` has passed over; how many. Raises what Ledger does."""
    with ledger.reading() as tx:
        quiet = studies.quiet(tx, now=now, quiet_period=section.quiet_period)
    completed = 0
    for row in quiet:
        with ledger.transaction() as tx:
            completed += studies.complete(tx, row, now=now)
    return completed


def conclude_ready(
    ledger: Ledger,
    section: ConcludeSection,
    reporter: Reporter,
    destinations_of: Callable[[str], Iterable[PeerSection]],
    *,
    named: Callable[[str], Iterable[PeerSection]] = lambda _: (),
    now: float,
) -> int:
    """COMPLETE → CONCLUDED, with its report and all its deliveries, for each study that waits for nothing more.

    How many. `destinations_of` tells a sender's destinations, `named` the destination of a name, for what the node
    fetched itself. A study that changed meanwhile is left for the next look. Raises what Ledger does, and OutOfRoom and
    StorageFault, once the studies that need no room were concluded.
    """
    with ledger.reading() as tx:
        ready = studies.ready(tx, now=now, conclude_after=section.conclude_after)
    concluded, obstacle = 0, None
    for row in ready:
        try:
            concluded += _conclude(ledger, row, reporter, destinations_of, named=named, now=now)
        except (OutOfRoom, StorageFault) as error:
            log.warning("a report cannot be kept: the study waits", study=row.study_id, error=str(error))
            obstacle = obstacle or error
    if obstacle is not None:
        raise obstacle
    return concluded


def _conclude(
    ledger: Ledger,
    row: StudyRow,
    reporter: Reporter,
    destinations_of: Callable[[str], Iterable[PeerSection]],
    *,
    named: Callable[[str], Iterable[PeerSection]],
    now: float,
) -> bool:
    with ledger.reading() as tx:
        routes = caught_up.routes(tx, row.study_id)
    wanted = profiles_of_study(routes, destinations_of=destinations_of, named=named)
    draft = reporter.draft(row, wanted, now=now)
    with ledger.transaction() as tx:
        studies.lock(tx, row.study_id)  # what is read from here on stays until the commit
        missing = studies.unfinished(tx, row.study_id)
        routes = caught_up.routes(tx, row.study_id)
        standing = [made for made in results.of_study(tx, row.study_id) if made not in draft.earlier]
        deliveries = route_study(routes, standing, destinations_of=destinations_of, named=named)
        concluded = draft.stands(tx, row.study_id) and studies.conclude(
            tx, row, revision=row.revision, now=now, deliveries=deliveries, missing=missing
        )
        if concluded:
            written = draft.store(tx, row, now=now)
            reported = route_study(routes, written, destinations_of=destinations_of, named=named)
            queue_deliveries(tx, reported, study_id=row.study_id, now=now)
            deliveries += reported
    if not concluded:
        log.info("the study changed while it was concluded: looking again", study=row.study_id)
    elif missing:
        log.warning(
            "concluded without every image",
            study=row.study_id,
            revision=row.revision,
            missing=len(missing),
            deliveries=len(deliveries),
        )
    else:
        log.info("concluded", study=row.study_id, revision=row.revision, deliveries=len(deliveries))
    return concluded
