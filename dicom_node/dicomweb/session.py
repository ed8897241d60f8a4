"""HTTP sessions with one DICOMweb service: who we are, whom we trust, and a deadline for every step."""

import contextlib
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from dicom_node.addresses import is_loopback
from dicom_node.credentials import read_secret
from dicom_node.errors import ConfigurationError
from dicom_node.peer import PeerSection

#: bytes of an answer that are read within one response deadline
_STEP = 1 << 20


def open_session(peer: PeerSection, *, response_timeout: float, largest: int) -> requests.Session:
    """A session as `peer` is configured: authentication, certificates, proxies; to be closed.

    `largest` is the number of bytes that an answer may have. Secrets are read now, so that a new one needs no
    restart. Raises ConfigurationError naming what is missing, never what is in it.
    """
    session = requests.Session()
    # nothing but the configuration says who we are and whom we trust: no .netrc, no bundle from the environment
    session.trust_env = False
    # a redirected POST becomes a GET that stores nothing and is answered with 200
    session.max_redirects = 0
    session.auth = _authentication(peer)
    session.verify = True if peer.dicomweb_ca is None else str(_file(peer.dicomweb_ca, peer, "dicomweb_ca"))
    if peer.dicomweb_certificate is not None:
        certificate = str(_file(peer.dicomweb_certificate, peer, "dicomweb_certificate"))
        key = peer.dicomweb_key
        session.cert = certificate if key is None else (certificate, str(_file(key, peer, "dicomweb_key")))
    if not is_loopback(urlsplit(peer.dicomweb_url).hostname or ""):
        session.proxies.update(get_environ_proxies(peer.dicomweb_url))
    adapter = _Deadlines(response_timeout, largest)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


class _Bearer(requests.auth.AuthBase):
    """RFC 6750 2.1."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _authentication(peer: PeerSection) -> requests.auth.AuthBase | None:
    match peer.dicomweb_authentication:
        case "basic":
            user, secret = (text.encode() for text in (peer.dicomweb_user, _secret(peer)))
            return requests.auth.HTTPBasicAuth(user, secret)
        case "bearer":
            return _Bearer(_secret(peer))
        case _:
            return None


def _secret(peer: PeerSection) -> str:
    return read_secret(peer.dicomweb_secret, key=f"peers.{peer.name}.dicomweb_secret")


def _file(path: Path, peer: PeerSection, key: str) -> Path:
    if not path.is_file():
        raise ConfigurationError(f"peers.{peer.name}.{key}: {path} is not there")
    return path


class _Deadlines(HTTPAdapter):
    """Sends a body in steps and reads the answer in steps, each of them with a deadline of its own.

    As they come, requests has 15 MB leave within the seconds that a connection may take, and reads an answer that
    trickles for as long as it does.
    """

    def __init__(self, response_timeout: float, largest: int) -> None:
        super().__init__(max_retries=0)
        self._response_timeout = response_timeout
        self._largest = largest

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """See HTTPAdapter.send."""
        if isinstance(request.body, bytes):
            request.body = BytesIO(request.body)  # its length stands in the header already
        # dicomweb-client's own has no port
        request.headers.pop("Host", None)
        response = super().send(request, *args, **kwargs)
        response.raw = _Answer(response.raw, self._response_timeout, self._largest)
        return response


class _Answer:
    """The body of an answer, with a deadline for each MiB and an end."""

    def __init__(self, raw: Any, response_timeout: float, largest: int) -> None:
        self._raw = raw
        self._response_timeout = response_timeout
        self._largest = largest

    def stream(self, amount: int, decode_content: bool = True) -> Iterator[bytes]:
        """What has come, as it comes; whoever is not served to the end has no connection any more."""
        read, limit = 0, _STEP
        deadline = time.monotonic() + self._response_timeout
        with contextlib.ExitStack() as broken:
            broken.callback(self._raw.close)
            while piece := self._raw.read1(amount, decode_content=decode_content):
                read += len(piece)
                if read > self._largest:
                    raise requests.exceptions.ContentDecodingError(f"its answer has more than {self._largest} bytes")
                if time.monotonic() > deadline:
                    raise requests.exceptions.ReadTimeout("its answer takes too long")
                if read > limit:
                    limit += _STEP
                    deadline = time.monotonic() + self._response_timeout
                yield bytes(piece)
            broken.pop_all()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)
