"""An audit repository: syslog over TLS (RFC 5425) on loopback, which keeps what comes."""

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.pki import Authority, Shown

_HEADER = re.compile(
    rb"<(?P<priority>\d+)>1 (?P<at>\S+) (?P<host>\S+) (?P<app>\S+) (?P<process>\S+) (?P<id>\S+) - "
    rb"\xef\xbb\xbf(?P<message>.*)",
    re.DOTALL,
)


@dataclass(kw_only=True)
class Repository:
    """What came; each message as its header's fields and its XML."""

    port: int
    messages: list[dict[str, str]] = field(default_factory=list)
    #: common name of each client's certificate
    clients: list[str] = field(default_factory=list)
    #: why connections ended before they began
    refused: list[str] = field(default_factory=list)

    def xml(self) -> list[str]:
        return [message["message"] for message in self.messages]


@contextlib.contextmanager
def repository(authority: Authority, shown: Shown, *, port: int = 0) -> Iterator[Repository]:
    """Listens until it is left; it asks for a client's certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    context.load_cert_chain(shown.certificate, shown.key)
    context.verify_mode = ssl.CERT_REQUIRED
    listener = socket.create_server(("127.0.0.1", port))
    kept = Repository(port=listener.getsockname()[1])
    open_now: list[ssl.SSLSocket] = []
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(plain,)))
            threads[-1].start()

    def serve(plain: socket.socket) -> None:
        try:
            wrapped = context.wrap_socket(plain, server_side=True)
        except OSError as error:
            kept.refused.append(str(error))
            plain.close()
            return
        open_now.append(wrapped)
        with wrapped, contextlib.suppress(OSError):
            certificate = wrapped.getpeercert() or {}
            kept.clients.extend(
                str(value) for part in certificate["subject"] for kind, value in part if kind == "commonName"
            )
            _read(wrapped, kept)

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield kept
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(10)
        for wrapped in open_now:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(wrapped, socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)


def _read(wrapped: ssl.SSLSocket, kept: Repository) -> None:
    """Octet counting, RFC 5425 4.3; anything else ends the connection."""
    buffer = b""
    while True:
        while b" " not in buffer or len(buffer) < int(buffer.partition(b" ")[0]) + len(buffer.partition(b" ")[0]) + 1:
            more = wrapped.recv(65536)
            if not more:
                return
            buffer += more
        length, _, rest = buffer.partition(b" ")
        framed, buffer = rest[: int(length)], rest[int(length) :]
        parsed = _HEADER.fullmatch(framed)
        assert parsed is not None, framed
        kept.messages.append({name: value.decode() for name, value in parsed.groupdict().items()})
