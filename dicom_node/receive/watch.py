"""What the door says to the audit trail: who came, who was turned away, what they brought (PS3.15 A.5)."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from dicom_node.audit import Action, Event, Outcome, Participant, Trail, Transfer
from dicom_node.audit import message as audit
from dicom_node.dimse.acceptor import Incoming
from dicom_node.dimse.requests import (
    CALLED_NOT_RECOGNISED,
    CALLING_NOT_RECOGNISED,
    CERTIFICATE_OF_ANOTHER,
    USER_NOT_AUTHENTICATED,
    AssociationRequest,
    Rejection,
)
from dicom_node.dimse.tls import name_of
from dicom_node.domain import Head
from dicom_node.ledger.instances import Outcome as Kept
from dicom_node.receive.intake import IncomingInstance

#: rejections that say that somebody is not who may come; the others say that there is no room
_ALARMING = (CALLING_NOT_RECOGNISED, CALLED_NOT_RECOGNISED, CERTIFICATE_OF_ANOTHER)
#: seconds in which the same alert about the same address is given once
_QUIET = 60.0
#: alerts that are remembered for that
_MOST_REMEMBERED = 1024
#: seconds after which what a long association brought is told before it ends
_TELL_AFTER = 60.0

_ACTIONS = {Kept.NEW.value: Action.CREATE, Kept.NEW_VERSION.value: Action.UPDATE}


@dataclass(kw_only=True)
class _Brought:
    """What one association has brought since it was last told."""

    request: AssociationRequest
    since: float = 0.0
    #: (study, patient, what became of it, why not) → SOP class → instances
    instances: dict[tuple[str, str, Action, str], Counter[str]] = field(default_factory=dict)


class DoorWatch:
    """A `Watches` that writes audit messages; see it for its methods. One association is one thread's."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._here = threading.local()
        self._alerts: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def refused(self, address: str, why: str) -> None:
        """See Watches."""
        self._alert(
            about=address, why=why, address=address, participants=[Participant(user_id=address, address=address)]
        )

    def rejected(self, request: AssociationRequest, rejection: Rejection) -> None:
        """See Watches."""
        if rejection is USER_NOT_AUTHENTICATED:
            self._authentication(request, audit.LOGIN, outcome=Outcome.MINOR_FAILURE, description=rejection.reason)
        elif rejection in _ALARMING:
            about = f"{request.calling_ae_title} at {request.address}"
            self._alert(about=about, why=rejection.reason, address=request.address, participants=[_calling(request)])

    def opened(self, request: AssociationRequest) -> None:
        """See Watches."""
        self._here.brought = _Brought(request=request)
        self._authentication(request, audit.LOGIN)

    def ended(self, request: AssociationRequest) -> None:
        """See Watches."""
        self._tell()
        self._here.brought = None
        self._authentication(request, audit.LOGOUT)

    def watched(self, incoming: IncomingInstance) -> Incoming:
        """`incoming`, of which is told what became of it."""
        return _Watched(incoming, self) if self._trail.is_on else incoming

    def note(self, head: Head | None, what: str, *, succeeded: bool) -> None:
        """One instance was answered in this thread's association; what cannot be told apart is an alert of no study."""
        brought: _Brought | None = getattr(self._here, "brought", None)
        if brought is None or head is None:
            return
        now = time.monotonic()
        if not brought.instances:
            brought.since = now
        action = _ACTIONS.get(what, Action.READ) if succeeded else Action.CREATE
        key = (head.study_instance_uid, head.patient_id, action, "" if succeeded else what)
        brought.instances.setdefault(key, Counter())[head.sop_class_uid] += 1
        if now - brought.since > _TELL_AFTER:
            self._tell()

    def _tell(self) -> None:
        """DICOM Instances Transferred, one a study; what failed in a message of its own (PS3.15 A.5.2)."""
        brought: _Brought | None = getattr(self._here, "brought", None)
        if brought is None:
            return
        for (study, patient, action, why), classes in brought.instances.items():
            self._trail.say(
                Event(
                    event=audit.INSTANCES_TRANSFERRED,
                    action=action,
                    outcome=Outcome.SERIOUS_FAILURE if why else Outcome.SUCCESS,
                    description=why,
                    participants=[_calling(brought.request, role=audit.SOURCE_ROLE), self._node()],
                    transfer=Transfer(study_instance_uid=study, patient_id=patient, sop_classes=classes),
                )
            )
        brought.instances.clear()

    def _authentication(
        self,
        request: AssociationRequest,
        kind: audit.Code,
        *,
        outcome: Outcome = Outcome.SUCCESS,
        description: str = "",
    ) -> None:
        self._trail.say(
            Event(
                event=audit.USER_AUTHENTICATION,
                kind=kind,
                action=Action.EXECUTE,
                outcome=outcome,
                description=description,
                participants=[_calling(request), self._node()],
            )
        )

    def _alert(self, *, about: str, why: str, address: str, participants: list[Participant]) -> None:
        """A port scanner must not fill the audit repository."""
        now = time.monotonic()
        with self._lock:
            if now - self._alerts.get((address, why), -_QUIET) < _QUIET:
                return
            if len(self._alerts) >= _MOST_REMEMBERED:
                self._alerts.clear()
            self._alerts[address, why] = now
        self._trail.alert(about=about, why=why, participants=participants)

    def _node(self) -> Participant:
        return Participant(user_id=self._trail.ae_title, address=self._trail.host, role=audit.DESTINATION_ROLE)


class _Watched:
    """An Incoming that says what became of it."""

    def __init__(self, incoming: IncomingInstance, watch: DoorWatch) -> None:
        self._incoming = incoming
        self._watch = watch
        self.write = incoming.write
        self.abandon = incoming.abandon

    def finish(self) -> tuple[int, str]:
        """See Incoming."""
        status, comment = self._incoming.finish()
        self._watch.note(self._incoming.head, self._incoming.became, succeeded=status == 0)
        return status, comment


def _calling(request: AssociationRequest, role: audit.Code | None = None) -> Participant:
    """Who called; the user that it was, or whom its certificate names."""
    alternative = request.user.user if request.user is not None else name_of(request.certificate)
    return Participant(
        user_id=request.calling_ae_title,
        address=request.address,
        role=role,
        is_requestor=True,
        alternative=alternative,
    )
