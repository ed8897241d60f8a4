"""`python -m benchmarks.sink PORT FOLDER`: bytes off loopback into a file and flushed, with nothing else done to them.

A length of 8 bytes comes first, then as many bytes; the answer is one byte, once fdatasync(2) has returned.
"""

import os
import socket
import sys
from pathlib import Path


def main() -> None:
    """The command line."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    buffer = memoryview(bytearray(1 << 20))
    with socket.create_server(("127.0.0.1", port)) as listening:
        while True:
            connection, _ = listening.accept()
            with connection:
                number = 0
                while header := connection.recv(8, socket.MSG_WAITALL):
                    number += 1
                    _keep(connection, int.from_bytes(header, "big"), folder / str(number), buffer)
                    connection.sendall(b"!")


def _keep(connection: socket.socket, left: int, path: Path, buffer: memoryview) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        while left:
            received = connection.recv_into(buffer[: min(left, len(buffer))])
            if not received:
                return
            os.write(file, buffer[:received])
            left -= received
        os.fdatasync(file)
    finally:
        os.close(file)


if __name__ == "__main__":
    main()
