"""Syslog over TLS (PS3.15 A.6): messages by RFC 5424, framed and carried by RFC 5425."""

import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime

from dicom_node.dimse.tls import Wraps
from dicom_node.errors import ConfigurationError

#: facility 10 (security and authorisation), severity 5 (notice), as PS3.15 A.6 asks for
_PRIORITY = 10 * 8 + 5
#: what PS3.15 A.6 names for messages by A.5
_MESSAGE_ID = "DICOM+RFC3881"
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
#: seconds for a connection with its handshake, and for one message to be taken
_DEADLINE = 10.0
#: seconds for the other end to say that it has read all
_FAREWELL = 1.0


def as_syslog(message: str, *, at: float, host: str) -> bytes:
    """RFC 5424's SYSLOG-MSG around an audit message, of `at` (seconds since the epoch)."""
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    name = "".join(character for character in host if "!" <= character <= "~")[:255] or "-"
    header = f"<{_PRIORITY}>1 {moment} {name} chexnode {os.getpid()} {_MESSAGE_ID} - "
    return (header + _BOM + message).encode()


class Syslog:
    """A connection to an audit repository, made when it is needed, and again after it broke. One thread's."""

    def __init__(self, host: str, port: int, *, tls: Callable[[], Wraps]) -> None:
        """`tls` is asked at each connection, so that a renewed certificate needs no restart."""
        self._host = host
        self._port = port
        self._tls = tls
        self._name = socket.gethostname()
        self._connection: ssl.SSLSocket | None = None

    def write(self, message: str) -> None:
        """Send one audit message. Raises OSError where the repository cannot be reached, or is not believed."""
        framed = as_syslog(message, at=time.time(), host=self._name)
        try:
            connection = self._open()
            # RFC 5425 4.3: the length in octets, a space, the message
            connection.sendall(f"{len(framed)} ".encode() + framed)
        except OSError:
            self._drop()
            raise

    def close(self) -> None:
        """End the connection in good order: what the other end has said and nobody read would take ours with it."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.settimeout(_FAREWELL)
                self._connection.unwrap()
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> ssl.SSLSocket:
        if self._connection is not None and self._has_ended(self._connection):
            self._drop()
        if self._connection is None:
            try:
                tls = self._tls()
            except ConfigurationError as error:
                raise OSError(str(error)) from error
            plain = socket.create_connection((self._host, self._port), timeout=_DEADLINE)
            try:
                self._connection = tls.wrap_socket(plain, server_hostname=self._host)
            except OSError:
                plain.close()
                raise
        return self._connection

    def _has_ended(self, connection: ssl.SSLSocket) -> bool:
        """Whether the other end has hung up: nothing is acknowledged, so what is sent then would be lost unnoticed."""
        try:
            connection.settimeout(0)
            return not connection.recv(1)
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        except OSError:
            return True
        finally:
            connection.settimeout(_DEADLINE)
