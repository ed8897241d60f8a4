"""A wire between the node and its archive that notes when each C-STORE was answered.

It looks into nothing on the way to the archive, and on the way back for Affected SOP Instance UID (0000,1000), which
only a C-STORE's response carries (PS3.7 Table 9.3-2): so the archive may be any, and neither side is changed for it.
"""

import contextlib
import re
import socket
import threading
import time
from types import TracebackType
from typing import Self

#: its tag, and the length of its value
_AFFECTED = re.compile(rb"\x00\x00\x00\x10([\x01-\x40]\x00\x00\x00)")
_UID = re.compile(rb"[0-9.]{1,64}")
_PIECE = 1 << 18


class Relay:
    """Listens at `port` of loopback and passes everything on to `archive_port`. A context manager."""

    def __init__(self, archive_port: int) -> None:
        self._archive_port = archive_port
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listening.getsockname()[1])
        self._changed = threading.Condition()
        self._answered: dict[str, float] = {}

    @property
    def answered(self) -> dict[str, float]:
        """SOP Instance UID → seconds since the epoch at which its response came from the archive."""
        with self._changed:
            return dict(self._answered)

    def wait_for(self, count: int, seconds: float) -> bool:
        """Until `count` objects were answered; False after `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._answered) >= count, seconds)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="relay", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # to close it alone would leave the thread in accept()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # shut down: it is over
            while True:
                here, _ = self._listening.accept()
                threading.Thread(target=self._join, args=(here,), daemon=True).start()

    def _join(self, here: socket.socket) -> None:
        """Pass on both ways until both ends have said all."""
        with here, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._archive_port)) as there:
            for end in (here, there):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self._pass_on, args=(there, here, True), daemon=True)
            back.start()
            self._pass_on(here, there, False)
            back.join()

    def _pass_on(self, source: socket.socket, sink: socket.socket, noted: bool) -> None:
        piece = memoryview(bytearray(_PIECE))
        with contextlib.suppress(OSError):
            while got := source.recv_into(piece):
                if noted:
                    self._note(bytes(piece[:got]))
                sink.sendall(piece[:got])
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _note(self, said: bytes) -> None:
        now = time.time()
        for found in _AFFECTED.finditer(said):
            length = int.from_bytes(found[1], "little")
            uid = said[found.end() : found.end() + length].rstrip(b"\0")
            if not _UID.fullmatch(uid):  # an association's acceptance has such octets by chance
                continue
            with self._changed:
                self._answered.setdefault(uid.decode("ascii"), now)
                self._changed.notify_all()
