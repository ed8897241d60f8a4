"""A study's report: what it is made of, and the objects that were written of each revision."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, true

from dicom_node.domain import JOB_ENDED, JobState, RejectionTitle
from dicom_node.ledger import encodings, headers, instances, recall, results
from dicom_node.ledger.encodings import EncodingRow
from dicom_node.ledger.headers import KeptHeader
from dicom_node.ledger.rows import InstanceRow, JobRow, ResultRow, StoredResult, job_row, result_row
from dicom_node.ledger.schema import instance, job, model, report, report_job, result


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one model said of one current image of a study; equal as long as nothing changed."""

    instance: InstanceRow
    #: the latest one that ended, where possible with a word on the image; None: none did
    job: JobRow | None
    #: of that job; None: none is kept
    header: KeptHeader | None
    #: by which its findings were drawn; None: it was not analysed, or by a release that noted nothing
    encoding: EncodingRow | None
    #: a job of this model for this image has not ended
    under_way: bool


def outcomes(tx: Connection, study_id: int) -> list[Outcome]:
    """Of each current image, in the order of their arrival, and of each model that looked or is to look at it."""
    by_instance: dict[int, dict[str, list[JobRow]]] = defaultdict(lambda: defaultdict(list))
    rows = tx.execute(
        select(job, model.c.name)
        .join(model, model.c.digest == job.c.model)
        .join(instance, instance.c.id == job.c.instance_id)
        .where(instance.c.study_id == study_id, instance.c.is_current == true())
        .order_by(job.c.id)
    )
    for made in rows.mappings():
        by_instance[made["instance_id"]][made["name"]].append(job_row(made))
    kept = headers.of_study(tx, study_id)
    noted: dict[tuple[str, str], EncodingRow | None] = {}
    found = []
    for row in instances.of_study(tx, study_id):
        by_model = by_instance.get(row.instance_id)
        if by_model is None:
            found.append(Outcome(instance=row, job=None, header=None, encoding=None, under_way=True))
            continue
        for name in sorted(by_model):
            last, under_way = _last(by_model[name])
            encoding = None
            if last is not None and last.state is JobState.DONE:
                key = (last.model, last.parameters)
                if key not in noted:
                    noted[key] = encodings.find(tx, model_digest=last.model, digest=last.parameters)
                encoding = noted[key]
            header = None if last is None else kept.get(last.job_id)
            found.append(Outcome(instance=row, job=last, header=header, encoding=encoding, under_way=under_way))
    return found


def current(tx: Connection, study_id: int) -> list[ResultRow]:
    """The objects of the study's latest report that were not superseded, purged ones too: an archive may have them."""
    rows = tx.execute(
        select(result)
        .where(result.c.study_id == study_id, result.c.report_id.is_not(None), result.c.is_current == true())
        .order_by(result.c.id)
    )
    return [result_row(row) for row in rows.mappings()]


def store(
    tx: Connection, written: Sequence[StoredResult], *, study_id: int, revision: int, now: float
) -> list[ResultRow]:
    """Insert the objects of the report that is being concluded, in whose place all earlier ones leave the current set.

    Call it after studies.conclude, in its transaction; what was inserted is returned.
    """
    report_id = _report_id(tx, study_id, revision)
    earlier = current(tx, study_id)
    results.supersede(tx, earlier, now=now)
    _recall(tx, earlier, report_id, now=now)
    return _insert(tx, written, report_id=report_id, study_id=study_id, now=now)


def add(
    tx: Connection, written: Sequence[StoredResult], *, study_id: int, revision: int, now: float
) -> list[ResultRow]:
    """Insert more objects of a report, for destinations that came later; all objects of the report are returned."""
    report_id = _report_id(tx, study_id, revision)
    return _insert(tx, written, report_id=report_id, study_id=study_id, now=now)


def _report_id(tx: Connection, study_id: int, revision: int) -> int:
    asked = select(report.c.id).where(report.c.study_id == study_id, report.c.revision == revision)
    found: int = tx.execute(asked).scalar_one()
    return found


def _insert(
    tx: Connection, written: Sequence[StoredResult], *, report_id: int, study_id: int, now: float
) -> list[ResultRow]:
    results.store(tx, written, report_id=report_id, study_id=study_id, now=now)
    rows = tx.execute(select(result).where(result.c.report_id == report_id).order_by(result.c.id))
    return [result_row(row) for row in rows.mappings()]


def _recall(tx: Connection, earlier: Sequence[ResultRow], report_id: int, *, now: float) -> None:
    """Reports on what was analysed anew, and recalled for it, are recalled too."""
    anew = (
        select(job.c.recall_title, job.c.ended_at)
        .join(report_job, report_job.c.job_id == job.c.id)
        .where(report_job.c.report_id == report_id, job.c.recall_title != "")
    )
    ids = [row.result_id for row in earlier]
    for title, ended_at in tx.execute(anew).all():
        older = select(result.c.id).where(result.c.id.in_(ids), result.c.created_at <= ended_at)
        recall.mark(tx, tx.execute(older).scalars(), title=RejectionTitle(title), now=now)


def _last(jobs: Sequence[JobRow]) -> tuple[JobRow | None, bool]:
    """The job that has the word on an image, and whether another one is under way."""
    ended = [one for one in jobs if one.state in JOB_ENDED]
    # what failed said nothing: the word before it stands
    told = [one for one in ended if one.state is not JobState.FAILED] or ended
    return (told[-1] if told else None), len(ended) < len(jobs)
