"""Results for a destination that came later: what of them is there, what can be encoded, and what cannot."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dicom_node.config import PeerSection, Settings
from dicom_node.domain import ARRIVED, InstanceState, JobState, Kind, Mode, ResultState, StudyState
from dicom_node.encode.findings import shown
from dicom_node.encode.profiles import kinds_for, study_kinds_for
from dicom_node.errors import Unreadable
from dicom_node.ledger import Ledger, Tx, choice, findings, reports, results, studies
from dicom_node.ledger import recall as recalls
from dicom_node.ledger.deliveries import NewDelivery, queue_deliveries
from dicom_node.ledger.reports import Outcome
from dicom_node.ledger.rows import ResultRow, StoredResult, StudyRow
from dicom_node.operate.choosing import Choice, studies_of


class Obstacle(StrEnum):
    """Why nothing of an image can be made for the destination."""

    PURGED = "its bytes were deleted after delivery (retention.days)"
    RECALLED = "its results were recalled"
    SETTINGS_UNKNOWN = "an earlier release analysed it and noted no threshold: chexnode reanalyse"


@dataclass(frozen=True, kw_only=True)
class ImageLater:
    """One image that was analysed, and its results for a destination."""

    outcome: Outcome
    #: those that are there, in the spool
    kept: tuple[ResultRow, ...] = ()
    #: those that are to be encoded
    missing: tuple[Kind, ...] = ()
    obstacle: Obstacle | None = None


@dataclass(frozen=True, kw_only=True)
class StudyLater:
    """One study, and its results for a destination."""

    study: StudyRow
    images: tuple[ImageLater, ...] = ()
    #: its reports that are there
    reports: tuple[ResultRow, ...] = ()
    #: a report is to be written
    report_missing: bool = False
    #: results that the destination has or awaits, or that were given up
    had: int = 0
    #: results of another profile that the destination has, as before its profile changed
    others: int = 0
    #: why nothing of it is sent; empty: nothing is in the way
    waits: str = ""

    @property
    def encoded(self) -> int:
        """Objects that are to be encoded."""
        return sum(len(image.missing) for image in self.images) + self.report_missing

    @property
    def ready(self) -> int:
        """Objects that are there and were never meant for the destination."""
        return sum(len(image.kept) for image in self.images) + len(self.reports) - self.had


@dataclass(frozen=True, kw_only=True)
class Resent:
    """What became of one study."""

    #: objects that are now on their way, or held
    queued: int
    #: of those: made for it
    encoded: int
    #: SOP Instance UID of each image that could not be encoded, and why
    failed: tuple[tuple[str, str], ...]


def later(ledger: Ledger, settings: Settings, peer: PeerSection, chosen: Choice) -> Iterator[StudyLater]:
    """What the chosen studies have for `peer`, a destination. Raises NotFound for a study that the node does not have.

    Nothing is sent from here: whoever encodes what is missing queues it.
    """
    with ledger.reading() as tx:
        ids = studies_of(tx, chosen)
        if ids is None:
            ids = choice.studies(tx)
    for study_id in ids:
        with ledger.reading() as tx:
            yield study_later(tx, study_id, settings, peer)


def study_later(tx: Tx, study_id: int, settings: Settings, peer: PeerSection) -> StudyLater:
    """What one study has for `peer`."""
    study = studies.get(tx, study_id)
    senders = studies.calling_ae_titles(tx, study_id)
    if not any(peer.name in {each.name for each in settings.route(title)} for title in senders):
        said = " and ".join(senders) or "whoever sent it"
        return StudyLater(study=study, waits=f"its images go elsewhere: results_to of {said} does not name {peer.name}")
    if study.state is not StudyState.CONCLUDED:
        return StudyLater(study=study, waits="it is not concluded yet")
    analysed = [one for one in reports.outcomes(tx, study_id) if one.job is not None and one.job.state is JobState.DONE]
    images = tuple(_image(tx, one, settings, peer) for one in analysed)
    written = tuple(
        row for row in reports.current(tx, study_id) if row.profile is peer.profile and row.state is ResultState.KEPT
    )
    found = any(image.outcome.encoding is not None and _drawn(tx, image.outcome) for image in images)
    wanted = study_kinds_for(peer.profile, any_findings=found, clean=settings.results.clean)
    can = any(image.outcome.header is not None and image.obstacle is not Obstacle.RECALLED for image in images)
    kept = [row.result_id for image in images for row in image.kept] + [row.result_id for row in written]
    had = sum(each.destination == peer.name for each in choice.of_results(tx, kept))
    return StudyLater(
        study=study,
        images=images,
        reports=written,
        report_missing=bool(wanted) and not written and can,
        had=had,
        others=_others(tx, study_id, peer),
    )


def resend(
    ledger: Ledger,
    settings: Settings,
    peer: PeerSection,
    study: StudyLater,
    *,
    encode: Callable[[Outcome], Sequence[StoredResult]],
    write_report: Callable[[StudyRow], None],
    now: float,
) -> Resent:
    """Encode what one study lacks for `peer`, and queue all of it there; on a destination on `hold` it is held.

    `encode` makes an image's results durable, `write_report` enters the study's report. Run again, it goes on where it
    was: nothing is made or sent twice. Raises what those do but Unreadable, and what Ledger does.
    """
    failed: list[tuple[str, str]] = []
    encoded = 0
    for image in study.images:
        if not image.missing:
            continue
        try:
            made = encode(image.outcome)
        except Unreadable as error:
            failed.append((image.outcome.instance.sop_instance_uid, error.detail))
            continue
        with ledger.transaction() as tx:
            encoded += _enter(tx, study.study.study_id, image.outcome, made, now=now)
    if study.report_missing:
        write_report(study.study)
    with ledger.transaction() as tx:
        studies.lock(tx, study.study.study_id)
        there = study_later(tx, study.study.study_id, settings, peer)
        rows = [row for image in there.images for row in image.kept] + list(there.reports)
        wanted = [
            NewDelivery(result_id=row.result_id, destination=peer.name, held=peer.mode is Mode.HOLD) for row in rows
        ]
        queue_deliveries(tx, wanted, study_id=study.study.study_id, now=now)
    return Resent(queued=there.ready, encoded=encoded + len(there.reports) - len(study.reports), failed=tuple(failed))


def _enter(tx: Tx, study_id: int, outcome: Outcome, made: Sequence[StoredResult], *, now: float) -> int:
    """The results of an image, unless something has become of it since it was looked at; how many."""
    studies.lock(tx, study_id)
    if outcome not in reports.outcomes(tx, study_id) or outcome.job is None or results.was_recalled(tx, outcome.job):
        return 0
    results.store(tx, made, job_id=outcome.job.job_id, study_id=study_id, now=now)
    return len(made)


def _image(tx: Tx, outcome: Outcome, settings: Settings, peer: PeerSection) -> ImageLater:
    if outcome.job is None:
        raise ValueError("an image without a job has no results")
    if results.was_recalled(tx, outcome.job):
        return ImageLater(outcome=outcome, obstacle=Obstacle.RECALLED)
    here = results.of_model(tx, outcome.instance.sop_instance_uid, model_digest=outcome.job.model)
    kept = tuple(row for row in here if row.profile is peer.profile and row.state is ResultState.KEPT)
    if outcome.instance.state is InstanceState.PURGED:
        return ImageLater(outcome=outcome, obstacle=Obstacle.PURGED)
    if outcome.encoding is None:
        obstacle = None if kept else Obstacle.SETTINGS_UNKNOWN
        return ImageLater(outcome=outcome, kept=kept, obstacle=obstacle)
    wanted = kinds_for(peer.profile, any_findings=_drawn(tx, outcome), clean=settings.results.clean)
    there = {row.kind for row in kept}
    return ImageLater(outcome=outcome, kept=kept, missing=tuple(kind for kind in wanted if kind not in there))


def _others(tx: Tx, study_id: int, peer: PeerSection) -> int:
    """Results of other profiles that are there, rejection notes and what was recalled left out."""
    found = recalls.find(tx, study_ids=[study_id])
    return sum(
        each.destination == peer.name
        and each.profile is not peer.profile
        and not each.recalled
        and each.state in ARRIVED
        for each in found
    )


def _drawn(tx: Tx, outcome: Outcome) -> bool:
    """Something of what was found is drawn."""
    if outcome.job is None or outcome.encoding is None:
        return False
    drawn = shown(findings.of_job(tx, outcome.job.job_id), outcome.encoding.threshold, outcome.encoding.most_findings)
    return bool(drawn)
