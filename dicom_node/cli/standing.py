"""Where a study stands, in sentences: what it waits for, since when, for whom, and what to do about it (law 9)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dicom_node.cli.terminal import ago, counted, duration
from dicom_node.domain import ARRIVED, JOB_ENDED, DeliveryState, InstanceState, JobState, Kind, StudyState
from dicom_node.ledger.overview import DeliveryView, InstanceView, StudyView
from dicom_node.ledger.rows import JobRow
from dicom_node.ledger.withdrawals import Withdrawn


@dataclass(frozen=True, kw_only=True)
class Line:
    """One sentence, and whether somebody must act."""

    text: str
    #: what helps, to be copied
    command: str = ""
    #: somebody must act, or nothing will happen
    wanted: bool = False


@dataclass(frozen=True, kw_only=True)
class Waits:
    """The settings that say how long a study waits."""

    #: seconds; see [conclude]
    quiet_period: float
    conclude_after: float


def study_lines(view: StudyView, waits: Waits, *, now: float) -> list[Line]:
    """The study as a whole, its images by what became of them, its results by destination."""
    return [_study(view, waits, now=now), *_images(view), *_deliveries(view, now=now)]


def _study(view: StudyView, waits: Waits, *, now: float) -> Line:
    study = view.study
    came = f"{counted(len(_current(view)), 'image')}, the last {ago(study.last_arrival, now)}"
    if study.state is StudyState.OPEN:
        left = study.last_arrival + waits.quiet_period - now
        return Line(
            text=f"open: {came}; " + (f"complete if nothing comes for {duration(left)}" if left > 0 else "quiet")
        )
    if study.state is StudyState.COMPLETE:
        left = (study.completed_at or now) + waits.conclude_after - now
        unfinished = counted(sum(not _ended(each) for each in _current(view)), "image")
        return Line(
            text=f"complete: {came}; waits for {unfinished} to be analysed, at most {duration(max(left, 0))} more"
        )
    again = f", revision {study.revision}" if study.revision > 1 else ""
    return Line(text=f"concluded {ago(study.concluded_at or now, now)}{again}: {came}")


def _images(view: StudyView) -> Iterator[Line]:
    """Images with the same fate share a line."""
    fates = Counter(line for each in view.instances if (line := _fate(each, view)) is not None)
    for line, count in fates.items():
        yield replace(line, text=f"{counted(count, 'image')} {line.text}")


def instance_line(instance: InstanceView, view: StudyView, *, now: float) -> Line:
    """What became of one image; for the screen of one study."""
    line = _fate(instance, view) or Line(text="an earlier version, superseded")
    job = _job(instance)
    if job is not None and job.state is JobState.QUEUED and job.not_before > now:
        return replace(line, text=f"{line.text}; next attempt {ago(job.not_before, now)} after {_tried(job.attempts)}")
    return line


def _fate(instance: InstanceView, view: StudyView) -> Line | None:
    row, job = instance.instance, _job(instance)
    if row.state is InstanceState.QUARANTINED:
        return Line(text=f"in quarantine ({row.reason})", command=f"chexnode accept {row.digest[:12]}", wanted=True)
    if not row.is_current and (job is None or job.state in JOB_ENDED):
        return None
    if row.state is InstanceState.PURGED:
        return Line(text="purged after delivery")
    if job is None:
        return Line(text="waits for a model: the analyse role has not run yet", command="chexnode serve", wanted=True)
    if job.state is JobState.QUEUED:
        again = f" again ({job.last_error})" if job.last_error else ""
        return Line(text=f"waits to be analysed{again}{_urgency(job.priority)}")
    if job.state is JobState.RUNNING:
        return Line(text="is being analysed")
    if job.state is JobState.DONE:
        return Line(text="analysed")
    if job.state is JobState.FAILED:
        again = f"chexnode retry --study {view.study.study_instance_uid}"
        return Line(text=f"failed ({job.last_error})", command=again, wanted=True)
    return Line(text=f"{job.state.value}: {job.reason or ''}{f', {job.detail}' if job.detail else ''}")


def _deliveries(view: StudyView, *, now: float) -> Iterator[Line]:
    """Results on their way to the same destination in the same state share a line; so do those that are withdrawn."""
    study = view.study.study_instance_uid
    grouped: dict[tuple[str, str, DeliveryState, str], list[DeliveryView]] = {}
    withdrawn: dict[str, list[DeliveryView]] = {}
    for each in view.deliveries:
        if each.withdrawn is not None:
            withdrawn.setdefault(each.destination, []).append(each)
        else:
            why = each.last_error if each.state is DeliveryState.HELD else ""
            grouped.setdefault((each.destination, _what(each), each.state, why), []).append(each)
    for (destination, what, state, _), group in sorted(grouped.items()):
        line = _way(state, group, study, now=now)
        yield replace(line, text=f"{destination}: {counted(len(group), what)} {line.text}")
    for destination, group in sorted(withdrawn.items()):
        yield from _withdrawn(destination, group, study)
    if view.study.state is StudyState.CONCLUDED and not view.deliveries:
        yield Line(text="no result to send")


def _what(each: DeliveryView) -> str:
    if each.kind is Kind.KOS:
        return "rejection note"
    if each.recalled:
        return "recalled result"
    return "result" if each.is_current else "superseded result"


def _withdrawn(destination: str, group: Sequence[DeliveryView], study: str) -> Iterator[Line]:
    """What was recalled after the destination had it: how far its rejection note came."""
    fates: Counter[Line] = Counter(
        _note(each.withdrawn, destination, study) for each in group if each.withdrawn is not None
    )
    for line, count in fates.items():
        yield replace(line, text=f"{destination}: {counted(count, 'result')} recalled; {line.text}")


def _note(each: Withdrawn, destination: str, study: str) -> Line:
    by_hand = f"chexnode recall --list --study {study}"
    if each.obstacle:
        return Line(text=f"no rejection note can be written ({each.obstacle})", command=by_hand, wanted=True)
    if each.note in ARRIVED:
        return Line(text=f"{destination} took the rejection note (whether it hides them is its own matter)")
    if each.note in (DeliveryState.FAILED, DeliveryState.ABANDONED):
        refused = f"refused ({each.note_error})" if each.note is DeliveryState.FAILED else "given up"
        return Line(text=f"the rejection note was {refused}, delete them by hand", command=by_hand, wanted=True)
    return Line(text="the rejection note " + ("is to be written" if each.note is None else "is on its way"))


def _way(state: DeliveryState, group: Sequence[DeliveryView], study: str, *, now: float) -> Line:
    waited = duration(now - min(each.created_at for each in group))
    ended = ago(max(each.ended_at or each.created_at for each in group), now)
    error = next((each.last_error for each in reversed(group) if each.last_error), "")
    if state is DeliveryState.HELD:
        why = f": {error}" if error else ""
        return Line(text=f"held for {waited}{why}", command=f"chexnode release --study {study}", wanted=True)
    if state is DeliveryState.FAILED:
        return Line(text=f"refused {ended} ({error})", command=f"chexnode retry --study {study}", wanted=True)
    if state is DeliveryState.PENDING and error:
        due = ago(min(each.not_before for each in group), now)
        tried = _tried(max(each.attempts for each in group))
        return Line(text=f"waiting for {waited}, next attempt {due} after {tried}: {error}")
    if state is DeliveryState.PENDING:
        return Line(text=f"waiting for {waited}")
    if state is DeliveryState.UNCOMMITTED:
        tries = max(each.commitment_attempts for each in group)
        asked = f", asked {counted(tries, 'time')} in vain{f' ({error})' if error else ''}" if tries else ""
        return Line(text=f"stored {ended}, but {_it(group)} not committed to yet{asked}")
    return Line(text=f"being sent, for {waited}" if state is DeliveryState.SENDING else f"{state.value} {ended}")


def _it(group: Sequence[DeliveryView]) -> str:
    return "it is" if len(group) == 1 else "they are"


def _current(view: StudyView) -> list[InstanceView]:
    return [each for each in view.instances if each.instance.is_current]


def _job(instance: InstanceView) -> JobRow | None:
    return instance.jobs[-1].job if instance.jobs else None


def _ended(instance: InstanceView) -> bool:
    job = _job(instance)
    return job is not None and job.state in JOB_ENDED


def _urgency(priority: int) -> str:
    """Empty for routine; see [priority]."""
    return f", priority {priority}" if priority else ""


def _tried(attempts: int) -> str:
    return counted(attempts, "attempt")
