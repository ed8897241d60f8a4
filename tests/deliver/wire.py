"""A wire between two peers that misbehaves when told to: 60 lines of TCP proxy."""

import contextlib
import selectors
import socket
import threading
from enum import Enum, auto
from types import TracebackType

#: PDU types (PS3.8 9.3.1)
_P_DATA_TF = 0x04


class Manner(Enum):
    THROUGH = auto()
    #: stop reading from the client in the middle of its data, and say nothing any more
    STALL = auto()
    #: let the archive store, then cut both sides before its answer gets through
    DROP_ANSWER = auto()


class AwkwardWire:
    """Listens on loopback and forwards to `port`; `manner` may be changed at any time."""

    def __init__(
        self, port: int, manner: Manner = Manner.THROUGH, *, stall_after: int = 4096, answers_begin: int = _P_DATA_TF
    ) -> None:
        """`answers_begin` is the first octet of an answer to a store."""
        self.manner = manner
        #: connections that were taken, and those that were cut or stalled
        self.connections = 0
        self.spoilt = 0
        self._stall_after = stall_after
        self._answers_begin = answers_begin
        self._target = port
        self._stop = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(0.05)
        self.port = int(self._listening.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> "AwkwardWire":
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listening.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._forward, args=(client,)))
                self._threads[-1].start()

    def _forward(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), selectors.DefaultSelector() as selector:
            server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            with server:
                selector.register(client, selectors.EVENT_READ, server)
                selector.register(server, selectors.EVENT_READ, client)
                taken = 0
                while not self._stop.is_set():
                    for key, _ in selector.select(0.05):
                        source, sink = key.fileobj, key.data
                        assert isinstance(source, socket.socket)
                        data = source.recv(4096)
                        if not data:
                            return
                        if source is client:
                            taken += len(data)
                            if self.manner is Manner.STALL and taken > self._stall_after:
                                self.spoilt += 1
                                self._stop.wait()
                                return
                        elif self.manner is Manner.DROP_ANSWER and data[0] == self._answers_begin:
                            self.spoilt += 1
                            return
                        sink.sendall(data)
