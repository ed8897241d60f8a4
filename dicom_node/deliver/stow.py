"""The DICOMweb kind of destination: STOW-RS of the frozen bytes (PS3.18 10.5), one result a request.

One a request: a connection that drops leaves one result in doubt, and one bad object fails none beside it.
"""

from collections.abc import Generator, Sequence
from http import HTTPStatus

from dicom_node.deliver.destination import Outcome, Sendable, Verdict
from dicom_node.deliver.statuses import ADVICE, judge
from dicom_node.dicomweb.service import LARGEST_STORE_ANSWER, DICOMwebService, StoreAnswer
from dicom_node.errors import ConfigurationError, PeerUnavailable, Refused, StorageFault
from dicom_node.peer import PeerSection
from dicom_node.spool import Spool

#: answers that say something of the whole service, not of the object: nobody else need try now
_WHOLE_SERVICE = frozenset(
    {
        # somebody's configuration: nothing is wrong with the results, so they wait
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.NOT_IMPLEMENTED,
        # it is busy, away or full
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
        HTTPStatus.INSUFFICIENT_STORAGE,
    }
)
_UNTRIED = Outcome(verdict=Verdict.UNTRIED, detail="the service turned away the one before it")


class StowDestination:
    """One peer that takes results by STOW-RS."""

    def __init__(self, peer: PeerSection, *, connect_timeout: float, response_timeout: float, spool: Spool) -> None:
        self._peer = peer
        self._connect_timeout = connect_timeout
        self._response_timeout = response_timeout
        self._spool = spool

    def send(self, results: Sequence[Sendable]) -> Generator[Outcome, None, None]:
        """See Destination.send: one session for all of `results`, as far as the service takes them."""
        known = 0
        try:
            with DICOMwebService(
                self._peer,
                connect_timeout=self._connect_timeout,
                response_timeout=self._response_timeout,
                largest=LARGEST_STORE_ANSWER,
            ) as service:
                for result in results:
                    outcome, goes_on = self._store(service, result)
                    known += 1
                    yield outcome
                    if not goes_on:
                        break
                yield from (_UNTRIED for _ in results[known:])
        except (ConfigurationError, PeerUnavailable, Refused) as error:
            broken = Outcome(verdict=Verdict.RETRY, detail=str(error), unreached=not known)
            for position in range(known, len(results)):
                yield _UNTRIED if known and position > known else broken

    def _store(self, service: DICOMwebService, result: Sendable) -> tuple[Outcome, bool]:
        """The outcome, and whether the next may be tried. Raises PeerUnavailable, Refused."""
        try:
            file = self._spool.read(result.spool_key)
        except StorageFault as error:
            return Outcome(verdict=Verdict.RETRY, detail=str(error)), True
        answer = service.store(file)
        return judge_answer(answer, result.sop_instance_uid), answer.status not in _WHOLE_SERVICE


def judge_answer(answer: StoreAnswer, sop_instance_uid: str) -> Outcome:
    """What a service's answer to the store of one instance means (PS3.18 10.5.3).

    Stored is only what the answer names as stored: a login page is answered with 200, too. Its own Failure Reason
    goes before the HTTP status.
    """
    said = f"it answered {answer.status} {answer.phrase}".rstrip()
    if sop_instance_uid in answer.failed:
        outcome = judge(answer.failed[sop_instance_uid])
        if outcome.verdict is not Verdict.STORED or answer.failed[sop_instance_uid]:
            return Outcome(verdict=outcome.verdict, detail=f"{said}: {outcome.detail}")
        return Outcome(verdict=Verdict.REFUSED, detail=f"{said} and gave no reason: {ADVICE}")
    if answer.status < HTTPStatus.BAD_REQUEST:
        if sop_instance_uid in answer.stored:
            return Outcome(verdict=Verdict.STORED)
        return Outcome(verdict=Verdict.RETRY, detail=f"{said}, but does not say that it stored anything")
    if answer.status in _WHOLE_SERVICE or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Outcome(verdict=Verdict.RETRY, detail=f"{said}{_ADVICE.get(answer.status, '')}")
    return Outcome(verdict=Verdict.REFUSED, detail=f"{said}: {ADVICE}")


#: what a person does about an answer that is somebody's configuration
_ADVICE: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: ": check dicomweb_authentication and its secret",
    HTTPStatus.FORBIDDEN: ": its administrator must let this user store",
    HTTPStatus.NOT_FOUND: ": is dicomweb_url right?",
    HTTPStatus.METHOD_NOT_ALLOWED: ": is dicomweb_url right, and does it offer STOW-RS?",
    HTTPStatus.NOT_IMPLEMENTED: ": does it offer STOW-RS?",
}
