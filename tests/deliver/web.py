"""A real DICOMweb store service on loopback that can be told what to answer: 80 lines over http.server."""

import contextlib
import email
import email.policy
import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from types import TracebackType
from typing import Any

from pydicom import dcmread


@dataclass(kw_only=True)
class Reply:
    """One scripted answer; None: what a service says that stored."""

    status: int = 200
    #: Failure Reason of every instance that came
    failure: int | None = None
    #: in place of a Store Instances Response
    body: bytes | None = None
    content_type: str = "application/dicom+json"
    headers: dict[str, str] = field(default_factory=dict)
    #: keep what came, then hang up without a word
    drop: bool = False
    #: say nothing until the service is closed
    stall: bool = False
    #: answer by single octets, without end
    trickle: bool = False


class StoreService:
    """Keeps what is POSTed to PATH/studies; `replies` are used up first, one a request, before success."""

    path = "/dicom-web"

    def __init__(self, *replies: Reply, tls: ssl.SSLContext | None = None) -> None:
        self.replies = list(replies)
        #: file by SOP Instance UID, the first that came; how often each came; headers of each request
        self.kept: dict[str, bytes] = {}
        self.came: Counter[str] = Counter()
        self.requests: list[dict[str, str]] = []
        #: what a GET of a path below PATH is answered with; else 404
        self.documents: dict[str, Reply] = {}
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._post, self._get))
        self._server.daemon_threads = True
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self.url = f"{self._scheme}://127.0.0.1:{self.port}{self.path}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> "StoreService":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _post(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.requests.append({name.lower(): value for name, value in handler.headers.items()})
        reply = self.replies.pop(0) if self.replies else Reply()
        if handler.path != f"{self.path}/studies":
            reply = Reply(status=404, body=b"", content_type="text/plain")
        files = _parts(handler.headers["Content-Type"], body)
        uids = [str(dcmread(BytesIO(file), stop_before_pixels=True).SOPInstanceUID) for file in files]
        self.came.update(uids)
        if reply.failure is None and reply.status < 300 and reply.body is None:
            for uid, file in zip(uids, files, strict=True):
                self.kept.setdefault(uid, file)
        if reply.stall:
            self._closing.wait()
        if reply.drop or reply.stall:
            handler.close_connection = True
            return
        if reply.trickle:
            self._trickle(handler)
            return
        said = _store_response(uids, reply.failure) if reply.body is None else reply.body
        _answer(handler, reply, said)

    def _get(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0].removeprefix(self.path)
        reply = self.documents.get(path, Reply(status=404, body=b"nothing here", content_type="text/plain"))
        _answer(handler, reply, reply.body or b"")

    def _trickle(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Type", "application/dicom+json")
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        with contextlib.suppress(OSError):
            while not self._closing.wait(0.05):
                handler.wfile.write(b" ")


def _answer(handler: BaseHTTPRequestHandler, reply: Reply, said: bytes) -> None:
    handler.send_response(reply.status)
    for name, value in {"Content-Type": reply.content_type, **reply.headers}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(said)))
    handler.end_headers()
    handler.wfile.write(said)


def _handler(
    post: Callable[[BaseHTTPRequestHandler, bytes], None], get: Callable[[BaseHTTPRequestHandler], None]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            post(self, self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            get(self)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    return Handler


def _parts(content_type: str, body: bytes) -> list[bytes]:
    message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP
    )
    boundary = str(message.get_param("boundary")).encode()
    parts = body.split(b"\r\n--" + boundary)[1:-1]
    return [part.partition(b"\r\n\r\n")[2] for part in parts]


def _store_response(uids: list[str], failure: int | None) -> bytes:
    items = [
        {"00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]}, "00081155": {"vr": "UI", "Value": [uid]}}
        | ({} if failure is None else {"00081197": {"vr": "US", "Value": [failure]}})
        for uid in uids
    ]
    return json.dumps({"00081199" if failure is None else "00081198": {"vr": "SQ", "Value": items}}).encode()
