"""The way of one study through a node, by its ledger's events, its log, and what its archive answered."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select

from benchmarks.serving import Serving
from dicom_node.domain import Kind
from dicom_node.ledger.schema import event, job, result, study

#: stage -> how it is told, in the order of the way; indented: part of the one before
STAGES = {
    "claimed": "C-STORE response → claimed",
    "analysed": "claimed → analysed and committed",
    "line": "  waits for a decoder",
    "decode": "  decode, and the film comes over",
    "turn": "  waits for the model",
    "batch": "  model: preprocess, network, postprocess",
    "hand": "  film to the encoder, and waiting for one",
    "encode": "  SEG and SC made",
    "keep": "  the last of them flushed",
    "commit": "  committed",
    "concluded": "analysed (or quiet, if later) → report and deliveries committed",
    "sending": "concluded → claimed for delivery",
    "first": "claimed → first of SEG and SC answered: association, compression, the archive",
    "second": "first → last of SEG and SC answered",
}
_FROM_LOG = ("line", "decode", "turn", "batch", "hand", "encode", "keep", "commit")


@dataclass(frozen=True, kw_only=True)
class Journey:
    """One study: from the response to its C-STORE to those to its SEG and SC."""

    #: seconds
    seconds: float
    #: seconds since the epoch: the response to the last of SEG and SC
    last_image_object: float
    #: stage -> seconds, see STAGES
    stages: Mapping[str, float]


def journeys(
    serving: Serving, answered: Mapping[str, float], delivered: Mapping[str, float], *, quiet_period: float
) -> list[Journey]:
    """Of each study in `answered` (Study Instance UID → when its last C-STORE was answered).

    `delivered`: SOP Instance UID of a result → when the archive answered. Times are seconds since the epoch.
    """
    log = {line["job"]: line.get("ms", {}) for line in serving.lines("analysed")}
    ledger = serving.ledger()
    found = []
    with ledger.reading() as tx:
        studies = dict(tx.execute(select(study.c.study_instance_uid, study.c.id)).tuples().all())
        for uid, start in answered.items():
            study_id = studies[uid]
            wanted = (Kind.SEG.value, Kind.SC.value)
            uids = tx.execute(
                select(result.c.sop_instance_uid).where(result.c.study_id == study_id, result.c.kind.in_(wanted))
            ).scalars()
            ends = sorted(delivered[each] for each in uids)
            (job_id,) = tx.execute(select(job.c.id).where(job.c.study_id == study_id)).scalars()
            moves = tx.execute(
                select(event.c.noun, event.c.to_state, event.c.at)
                .where(event.c.study_id == study_id)
                .order_by(event.c.id)
            ).all()
            times: dict[tuple[str, str], float] = {}
            for noun, state, at in moves:
                times.setdefault((noun, state), at)
            found.append(_journey(start, ends, times, log.get(job_id, {}), quiet_period))
    ledger.close()
    return found


def _journey(
    start: float, ends: list[float], times: Mapping[tuple[str, str], float], ms: Mapping[str, int], quiet_period: float
) -> Journey:
    claimed, done = times["job", "running"], times["job", "done"]
    concluded, sending = times["study", "concluded"], times["delivery", "sending"]
    stages = {
        "claimed": claimed - start,
        "analysed": done - claimed,
        "concluded": concluded - max(done, start + quiet_period),
        "sending": sending - concluded,
        "first": ends[0] - sending,
        **{stage: ms[stage] / 1000 for stage in _FROM_LOG if stage in ms},
    }
    if len(ends) > 1:
        stages["second"] = ends[-1] - ends[0]
    return Journey(seconds=ends[-1] - start, last_image_object=ends[-1], stages=stages)
