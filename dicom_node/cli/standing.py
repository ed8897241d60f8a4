"""Where a study stands, in sentences: what it waits for, since when, for whom, and what to do about it (law 9)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dicom_node.cli.terminal import ago, counted, duration
from dicom_node.domain import JOB_ENDED, DeliveryState, InstanceState, JobState, StudyState
from dicom_node.ledger.overview import DeliveryView, InstanceView, StudyView
from dicom_node.ledger.rows import JobRow


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
        return Line(text=f"waits to be analysed{f' again ({job.last_error})' if job.last_error else ''}")
    if job.state is JobState.RUNNING:
        return Line(text="is being analysed")
    if job.state is JobState.DONE:
        return Line(text="analysed")
    if job.state is JobState.FAILED:
        again = f"chexnode retry --study {view.study.study_instance_uid}"
        return Line(text=f"failed ({job.last_error})", command=again, wanted=True)
    return Line(text=f"{job.state.value}: {job.reason or ''}{f', {job.detail}' if job.detail else ''}")


def _deliveries(view: StudyView, *, now: float) -> Iterator[Line]:
    """Results on their way to the same destination in the same state share a line."""
    grouped: dict[tuple[str, DeliveryState], list[DeliveryView]] = {}
    for each in view.deliveries:
        grouped.setdefault((each.destination, each.state), []).append(each)
    for (destination, state), group in sorted(grouped.items()):
        line = _way(state, group, view.study.study_instance_uid, now=now)
        yield replace(line, text=f"{destination}: {counted(len(group), 'result')} {line.text}")
    if view.study.state is StudyState.CONCLUDED and not view.deliveries:
        yield Line(text="no result to send")


def _way(state: DeliveryState, group: Sequence[DeliveryView], study: str, *, now: float) -> Line:
    waited = duration(now - min(each.created_at for each in group))
    ended = ago(max(each.ended_at or each.created_at for each in group), now)
    error = next((each.last_error for each in reversed(group) if each.last_error), "")
    if state is DeliveryState.HELD:
        return Line(text=f"held for {waited}", command=f"chexnode release --study {study}", wanted=True)
    if state is DeliveryState.FAILED:
        return Line(text=f"refused {ended} ({error})", command=f"chexnode retry --study {study}", wanted=True)
    if state is DeliveryState.PENDING and error:
        due = ago(min(each.not_before for each in group), now)
        tried = _tried(max(each.attempts for each in group))
        return Line(text=f"waiting for {waited}, next attempt {due} after {tried}: {error}")
    if state is DeliveryState.PENDING:
        return Line(text=f"waiting for {waited}")
    return Line(text=f"being sent, for {waited}" if state is DeliveryState.SENDING else f"{state.value} {ended}")


def _current(view: StudyView) -> list[InstanceView]:
    return [each for each in view.instances if each.instance.is_current]


def _job(instance: InstanceView) -> JobRow | None:
    return instance.jobs[-1].job if instance.jobs else None


def _ended(instance: InstanceView) -> bool:
    job = _job(instance)
    return job is not None and job.state in JOB_ENDED


def _tried(attempts: int) -> str:
    return counted(attempts, "attempt")
