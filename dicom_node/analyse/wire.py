"""How parent and child talk: a length, a JSON object, and then as many bytes as the object announces.

A film goes the same way: over a socket 15 MB take half as long as through a memfd, whose pages must be cleared first.
Plain data only: whatever a stranger's file did to the child, the parent never evaluates what comes back.
"""

import json
import socket
import struct
import time
from typing import Any

#: octets of one JSON object; beyond it the child is not believed
MOST = 8 << 20
_LENGTH = struct.Struct(">I")


class WireError(Exception):
    """What came is no message of ours."""


def send(connection: socket.socket, message: dict[str, Any], *payloads: memoryview | bytes) -> None:
    """Send one message and the bytes that follow it. Raises OSError."""
    encoded = json.dumps(message, separators=(",", ":")).encode()
    if len(encoded) > MOST:
        raise WireError(f"a message of {len(encoded)} octets is larger than {MOST}")
    connection.sendall(_LENGTH.pack(len(encoded)) + encoded)
    for payload in payloads:
        connection.sendall(payload)


def receive(connection: socket.socket, *, deadline: float | None = None) -> dict[str, Any]:
    """One message. `deadline` is in monotonic seconds.

    Raises TimeoutError at the deadline, EOFError at the end of the connection, WireError, OSError.
    """
    head = bytearray(_LENGTH.size)
    receive_into(connection, memoryview(head), deadline=deadline)
    (length,) = _LENGTH.unpack(head)
    if length > MOST:
        raise WireError(f"a message of {length} octets is announced, at most {MOST} are read")
    body = bytearray(length)
    receive_into(connection, memoryview(body), deadline=deadline)
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError("the message is no JSON") from error
    if not isinstance(message, dict):
        raise WireError("the message is no JSON object")
    return message


def receive_into(connection: socket.socket, view: memoryview, *, deadline: float | None = None) -> None:
    """Fill `view` from the connection; raises as `receive` does."""
    while view:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the deadline has passed")
            connection.settimeout(left)
        got = connection.recv_into(view)
        if got == 0:
            raise EOFError("the other end is gone")
        view = view[got:]
