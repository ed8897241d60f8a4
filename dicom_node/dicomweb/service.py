"""One DICOMweb service: store, search, retrieve (PS3.18 10.5, 10.6, 10.4), each answer as it was meant."""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any
from xml.etree import ElementTree

import requests
from dicomweb_client import DICOMwebClient
from dicomweb_client.web import _Transaction
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.dicomweb.session import open_session
from dicom_node.errors import PeerUnavailable, Refused
from dicom_node.peer import PeerSection

#: bytes of an answer to a store, and of any other; the latter holds one of our objects
LARGEST_STORE_ANSWER = 1 << 20
LARGEST_ANSWER = 256 << 20

#: studies of one page of a search, and of all pages
_PAGE = 100
_MOST_STUDIES = 10_000

_STUDY = "0020000D"
_REFERENCED, _FAILED = "00081199", "00081198"
_UID, _REASON = "00081155", "00081197"

#: what an answer raises that is not shaped as it should be
_NO_ANSWER = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    RecursionError,
    ElementTree.ParseError,
    InvalidDicomError,
)

# both tell every failure to whoever listens, with the UIDs in our addresses; the node tells it itself, without
for _name in ("dicomweb_client", "retrying"):
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False


@dataclass(frozen=True, kw_only=True)
class StoreAnswer:
    """What a service said to one STOW-RS request."""

    #: HTTP status, and its phrase
    status: int
    phrase: str
    #: SOP Instance UIDs that it says it has
    stored: frozenset[str] = frozenset()
    #: Failure Reason (0008,1197) by SOP Instance UID; 0 where it gives none
    failed: Mapping[str, int] = field(default_factory=dict)


class DICOMwebService:
    """A connection to the service of `peer`; a context manager. Not for two threads at once."""

    def __init__(
        self, peer: PeerSection, *, connect_timeout: float, response_timeout: float, largest: int = LARGEST_ANSWER
    ) -> None:
        """Seconds; `largest` in bytes. Raises ConfigurationError where a secret or a certificate is missing."""
        self._where = f"{peer.name} at {peer.dicomweb_url}"
        self._session = open_session(peer, response_timeout=response_timeout, largest=largest)
        self._client = _Client(
            peer.dicomweb_url,
            session=self._session,
            proxies=dict(self._session.proxies),
            timeout=(connect_timeout, response_timeout),
        )
        self._client.set_http_retry_params(retry=False)

    def __enter__(self) -> "DICOMwebService":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def store(self, file: bytes) -> StoreAnswer:
        """STOW-RS of one PS3.10 file, octet for octet. Raises PeerUnavailable where there is no answer."""
        with self._reaching():
            try:
                response = self._client.store_file(file)
            except requests.HTTPError as error:
                response = _answered(error)
            stored, failed = _said(response)
        return StoreAnswer(status=response.status_code, phrase=_phrase(response.reason), stored=stored, failed=failed)

    def instances(self, study_instance_uid: str) -> list[Mapping[str, Any]]:
        """QIDO-RS: every instance of a study, in DICOM JSON; none where the service knows no such study.

        Raises PeerUnavailable, and Refused where it does not search or does not let us.
        """
        return self._found(lambda: self._client.search_for_instances(study_instance_uid, get_remaining=False))

    def whereabouts(self, sop_instance_uid: str) -> list[Mapping[str, Any]]:
        """QIDO-RS: an instance, in whichever study it is. Raises what instances() does."""
        wanted = {"SOPInstanceUID": sop_instance_uid}
        return self._found(lambda: self._client.search_for_instances(search_filters=wanted, get_remaining=False))

    def studies(self, filters: Mapping[str, str], fields: Sequence[str]) -> list[Mapping[str, Any]]:
        """QIDO-RS: every study that meets `filters`, with these keys besides those that any has; page by page.

        Raises what instances() does.
        """
        found: dict[str, Mapping[str, Any]] = {}
        while True:
            asked = len(found)
            page = self._found(
                lambda: self._client.search_for_studies(
                    search_filters=dict(filters), fields=list(fields), limit=_PAGE, offset=len(found)
                )
            )
            found.update((_value(item, _STUDY), item) for item in page if _value(item, _STUDY))
            # a service that knows no offset gives the same again, and one that knows no limit gives all at once
            if len(page) != _PAGE or len(found) == asked:
                return list(found.values())
            if len(found) > _MOST_STUDIES:
                raise Refused(f"{self._where} has more than {_MOST_STUDIES} such studies: ask for less time at once")

    def _found(self, search: Callable[[], list[Any]]) -> list[Mapping[str, Any]]:
        with self._reaching():
            try:
                found = search()
            except requests.HTTPError as error:
                answer = _answered(error)
                if answer.status_code == HTTPStatus.NOT_FOUND and _is_dicom(answer):
                    return []
                raise
            if not all(isinstance(item, dict) for item in found):
                raise ValueError("an answer of items that are no data sets")
            return list(found)

    def retrieve(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> Dataset:
        """WADO-RS: one instance in whatever transfer syntax it is kept, with file meta.

        Raises PeerUnavailable, and Refused where it gives none.
        """
        with self._reaching():
            found = self._client.retrieve_instance(
                study_instance_uid,
                series_instance_uid,
                sop_instance_uid,
                media_types=(("application/dicom", "*"),),
            )
            if found is None:
                raise ValueError("an answer of no part")
            return found

    def file(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bytes:
        """WADO-RS of one instance as the PS3.10 file that it is kept as, never parsed. Raises what retrieve() does."""
        with self._reaching():
            (part,) = self._client.fetch_files(study_instance_uid, series_instance_uid, sop_instance_uid)
            return part

    def rendered(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> bytes:
        """WADO-RS of one instance as a picture (PS3.18 10.4.1.1.3). Raises what retrieve() does."""
        with self._reaching():
            return bytes(
                self._client.retrieve_instance_rendered(
                    study_instance_uid, series_instance_uid, sop_instance_uid, media_types=("image/png",)
                )
            )

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """Each way in which HTTP fails, as the node's own errors; no body is quoted: it may name patients."""
        try:
            yield
        except requests.HTTPError as error:
            answer = _answered(error)
            said = f"{self._where} answered {answer.status_code} {_phrase(answer.reason)}".rstrip()
            if answer.status_code in _LATER or answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise PeerUnavailable(said) from error
            raise Refused(said) from error
        except requests.TooManyRedirects as error:
            raise Refused(f"{self._where} sends us elsewhere: set dicomweb_url to where it really is") from error
        except requests.exceptions.SSLError as error:
            raise PeerUnavailable(f"no TLS with {self._where} ({_innermost(error)}): check dicomweb_ca") from error
        except (requests.exceptions.InvalidJSONError, *_NO_ANSWER) as error:
            raise Refused(f"{self._where} answered with what is no DICOMweb ({type(error).__name__})") from error
        except requests.RequestException as error:
            raise PeerUnavailable(f"{self._where} cannot be reached, or broke off ({_innermost(error)})") from error


#: HTTP statuses of clients' errors that pass: timeout, too early, too many requests
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class _Client(DICOMwebClient):
    """dicomweb-client, which encodes anew what it stores; ours are frozen bytes."""

    def store_file(self, file: bytes) -> requests.Response:
        """POST of one file as one part. Raises requests.RequestException."""
        boundary = "chexnode-part-5f0c7f6e2f4b4d0d"
        content_type = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
        body = self._encode_multipart_message([file], content_type)
        # one body of known length: gateways refuse chunks
        self.set_chunk_size(len(body))
        headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
        return self._http_post(self._get_studies_url(_Transaction.STORE), body, headers)

    def fetch_files(self, study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> list[bytes]:
        """GET of one instance as it is kept; every part of the answer. Raises requests.RequestException, ValueError."""
        url = self._get_instances_url(_Transaction.RETRIEVE, study_instance_uid, series_instance_uid, sop_instance_uid)
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        response = self._http_get(url, headers={"Accept": accept})
        return [bytes(part) for part in self._decode_multipart_message(response, stream=False)]


def _answered(error: requests.HTTPError) -> requests.Response:
    """The answer that requests calls an error; it always has one."""
    if error.response is None:
        raise PeerUnavailable("no answer") from error
    return error.response


def _said(response: requests.Response) -> tuple[frozenset[str], dict[str, int]]:
    """Which instances a Store Instances Response names (PS3.18 Annex I); nothing where it is none."""
    with contextlib.suppress(*_NO_ANSWER):
        if "xml" in response.headers.get("Content-Type", ""):
            answer = _from_xml(response.content)
        else:
            answer = json.loads(response.content)
            answer = answer[0] if isinstance(answer, list) else answer
        stored = frozenset(_uid(item) for item in answer.get(_REFERENCED, {}).get("Value", []))
        failed = {_uid(item): _reason(item) for item in answer.get(_FAILED, {}).get("Value", [])}
        return stored - failed.keys(), failed
    return frozenset(), {}


def _value(item: Mapping[str, Any], tag: str) -> str:
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _uid(item: Mapping[str, Any]) -> str:
    return str(item[_UID]["Value"][0])


def _reason(item: Mapping[str, Any]) -> int:
    values = item.get(_REASON, {}).get("Value") or [0]
    return int(values[0])


def _from_xml(body: bytes) -> dict[str, Any]:
    """The two sequences of a Store Instances Response in the Native DICOM Model (PS3.19 A.1), as DICOM JSON."""
    root = ElementTree.fromstring(body)  # noqa: S314 - see the import
    return {
        tag: {
            "Value": [
                {
                    attribute.attrib["tag"]: {
                        "Value": [value.text for value in attribute if value.tag.endswith("Value")]
                    }
                    for attribute in item
                }
                for sequence in root
                if sequence.attrib.get("tag") == tag
                for item in sequence
            ]
        }
        for tag in (_REFERENCED, _FAILED)
    }


def _is_dicom(response: requests.Response) -> bool:
    """Whether DICOMweb answered, and not a web server that has no such path."""
    return "json" in response.headers.get("Content-Type", "")


def _phrase(reason: str | None) -> str:
    return "".join(c for c in reason or "" if c.isprintable())[:64]


def _innermost(error: BaseException) -> str:
    """What really happened, below urllib3's and requests' wrappings."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            return str(error).rpartition("] ")[2] or type(error).__name__
        error = inner
