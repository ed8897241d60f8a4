"""A destination that says to the audit trail what was sent to it (PS3.15 A.5.3.7, DICOM Instances Transferred)."""

from collections import Counter
from collections.abc import Callable, Generator, Sequence

from dicom_node.audit import Action, Event, Participant, Trail, Transfer
from dicom_node.audit import Outcome as Success
from dicom_node.audit import message as audit
from dicom_node.deliver.destination import Destination, Outcome, Sendable, Verdict
from dicom_node.errors import Retryable
from dicom_node.ledger.rows import StudyRow
from dicom_node.peer import PeerSection, Transport

#: whose an object is, by its SOP Instance UID; raises Retryable where the ledger is away
Whose = Callable[[str], StudyRow | None]
#: verdicts on something that was sent, or should have been: the others left it where it was
_SENT = (Verdict.STORED, Verdict.REFUSED, Verdict.RETRY)
#: (study, patient, why it was not taken) → SOP class → instances
_Sent = dict[tuple[str, str, str], Counter[str]]


class Audited:
    """See Destination; `trail` is told once a batch is over, one message a study, failures in messages of their own."""

    def __init__(self, destination: Destination, peer: PeerSection, *, trail: Trail, whose: Whose) -> None:
        self._destination = destination
        self._peer = peer
        self._trail = trail
        self._whose = whose

    def send(self, results: Sequence[Sendable]) -> Generator[Outcome, None, None]:
        """See Destination.send."""
        sent: _Sent = {}
        outcomes = self._destination.send(results)
        try:
            for result, outcome in zip(results, outcomes, strict=True):
                self._note(sent, result, outcome)
                yield outcome
        finally:
            outcomes.close()
            self._tell(sent)

    def _note(self, sent: _Sent, result: Sendable, outcome: Outcome) -> None:
        if outcome.verdict not in _SENT:
            return
        try:
            study = self._whose(result.sop_instance_uid)
        except Retryable:
            study = None  # the ledger is away: that something went is told, if not whose it was
        uid, patient = ("", "") if study is None else (study.study_instance_uid, study.patient_id)
        why = "" if outcome.verdict is Verdict.STORED else outcome.detail or outcome.verdict.value
        sent.setdefault((uid, patient, why), Counter())[result.sop_class_uid] += 1

    def _tell(self, sent: _Sent) -> None:
        for (uid, patient, why), classes in sent.items():
            self._trail.say(
                Event(
                    event=audit.INSTANCES_TRANSFERRED,
                    action=Action.READ,
                    outcome=Success.MINOR_FAILURE if why else Success.SUCCESS,
                    description=why,
                    participants=[
                        Participant(
                            user_id=self._trail.ae_title,
                            address=self._trail.host,
                            role=audit.SOURCE_ROLE,
                            is_requestor=True,
                        ),
                        self._receiver(),
                    ],
                    transfer=Transfer(study_instance_uid=uid, patient_id=patient, sop_classes=classes),
                )
            )

    def _receiver(self) -> Participant:
        by_web = self._peer.transport is Transport.STOW_RS
        return Participant(
            user_id=self._peer.dicomweb_url if by_web else self._peer.ae_title,
            address="" if by_web else self._peer.host,
            role=audit.DESTINATION_ROLE,
        )
