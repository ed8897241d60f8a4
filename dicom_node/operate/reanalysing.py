"""Analysing anew, with the active model and today's settings, what was analysed before."""

from dataclasses import dataclass

from dicom_node.config import Settings
from dicom_node.domain import RecallReason
from dicom_node.errors import NotFound
from dicom_node.ledger import Ledger, Tx, choice, encodings, models, reanalysis, reports, studies
from dicom_node.ledger.choice import ChosenDelivery
from dicom_node.ledger.reanalysis import Candidate, Prospect
from dicom_node.operate.choosing import Choice, at_work, studies_of
from dicom_node.parameters import parameters_by_source, parameters_digest


@dataclass(frozen=True, kw_only=True)
class StudyAnew:
    """One study: what is analysed anew, what is not, and what that supersedes where."""

    study_instance_uid: str
    accession_number: str
    candidates: tuple[Candidate, ...]
    #: of results that a new one will stand for, the reports of the study among them
    superseded: tuple[ChosenDelivery, ...]

    def images(self, prospect: Prospect) -> list[str]:
        """SOP Instance UIDs of the images with this prospect, each once."""
        found = (one.instance.sop_instance_uid for one in self.candidates if one.prospect is prospect)
        return list(dict.fromkeys(found))


def reanalyse(
    ledger: Ledger,
    settings: Settings,
    chosen: Choice,
    *,
    recall: RecallReason | None = None,
    now: float,
    dry_run: bool = False,
) -> tuple[StudyAnew, ...]:
    """Queue the images of the chosen studies behind whatever arrives; those with nothing to be queued are told too.

    Once an image is analysed its new results supersede the current ones and go where the study's results go. What a
    destination has got stays there, unless `recall` says why it is to be withdrawn then. Raises NotFound for a study
    that the node does not have, and where no model has run with these settings yet.
    """
    parameters, by_source = parameters_digest(settings), parameters_by_source(settings)
    title = None if recall is None else recall.document_title
    with ledger.reading() as tx:
        _require_known(tx, {parameters, *by_source.values()})
        ids = studies_of(tx, chosen)
        if ids is None:
            ids = choice.studies(tx)
    anew = []
    for study_id in ids:  # a transaction each: whoever receives does not wait for all of them
        with at_work(ledger, dry_run=dry_run) as tx:
            candidates = [
                one
                for one in reanalysis.candidates(tx, study_id, parameters=parameters, by_source=by_source)
                # a thousand slices that some study brought along are not asked again whether they are radiographs
                if one.instance.sop_class_uid in settings.select.sop_classes
            ]
            anew.append(_study(tx, study_id, tuple(candidates)))
            if not dry_run:
                reanalysis.queue(tx, candidates, recall_title=title, now=now, level=settings.priority.level)
    return tuple(anew)


def _require_known(tx: Tx, digests: set[str]) -> None:
    """The analyse role runs with these settings: jobs for others would be read under its own all the same."""
    active = models.active(tx)
    if not active:
        raise NotFound("no model is active: start `chexnode serve`, and reanalyse once its analyse role is alive")
    for model_digest in active:
        if any(encodings.find(tx, model_digest=model_digest, digest=digest) is None for digest in digests):
            raise NotFound(
                "the analyse role has not run with this configuration yet: start `chexnode serve` anew, then reanalyse"
            )


def _study(tx: Tx, study_id: int, candidates: tuple[Candidate, ...]) -> StudyAnew:
    row = studies.get(tx, study_id)
    standing = [made for one in candidates if one.prospect is Prospect.QUEUE for made in one.standing]
    if any(one.prospect is Prospect.QUEUE for one in candidates):
        standing += reports.current(tx, study_id)
    return StudyAnew(
        study_instance_uid=row.study_instance_uid,
        accession_number=row.accession_number,
        candidates=candidates,
        superseded=tuple(choice.of_results(tx, [made.result_id for made in standing])),
    )
