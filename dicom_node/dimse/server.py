"""The listening side: who may connect, how many, for how long; one thread a connection, none of them in the way.

A connection is silent until its A-ASSOCIATE-RQ is whole (and its TLS handshake before that): it costs a thread
and a few KB. When too many are silent, the oldest one of the address that has most of them makes way, so that an
honest peer gets in beside any number that only hold the door.
"""

import contextlib
import selectors
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pynetdicom.presentation import PresentationContext

from dicom_node.dimse.acceptor import Acceptor, AcceptorLimits, BeginStore
from dicom_node.dimse.commands import CommandError
from dicom_node.dimse.provider import application_entity
from dicom_node.dimse.requests import LOCAL_LIMIT_EXCEEDED, Admits, AssociationRequest, Judges, Rejection, Watches
from dicom_node.dimse.wire import INVALID_PARAMETER, PDUType, Wire, WireError, hang_up, tune

_log = structlog.get_logger(__name__)
_BACKLOG = 256
_REQUEST = frozenset({PDUType.A_ASSOCIATE_RQ})


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """Caps and deadlines of the server; those of one association are `acceptor`."""

    acceptor: AcceptorLimits
    max_associations: int
    max_associations_per_peer: int
    #: connections whose association was not negotiated yet
    max_silent: int = 512
    #: seconds for the TLS handshake and the A-ASSOCIATE-RQ together
    request_timeout: float = 15.0


class _Connection:
    """One accepted socket and what is known of it."""

    def __init__(self, accepted: socket.socket, remote: tuple[Any, ...]) -> None:
        self.socket = accepted
        self.remote = remote
        self.address: str = remote[0]
        self.acceptor: Acceptor | None = None
        self.wire: Wire | None = None
        self.thread: threading.Thread | None = None
        self.request: AssociationRequest | None = None
        self.associated = False
        self.hung_up = False

    def hang_up(self) -> None:
        """From any thread: its own thread wakes up, and closes the socket."""
        self.hung_up = True
        hang_up(self.socket)


class Server:
    """Listens at an address until close(). Nothing blocks the accept loop: not a handshake, not a peer, not a disk."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        ae_title: str,
        contexts: list[PresentationContext],
        admits: Admits,
        judge: Judges,
        begin_store: BeginStore,
        limits: ServerLimits,
        handlers: Sequence[tuple[Any, Callable[..., Any]]] = (),
        tls: Callable[[], ssl.SSLContext | None] | None = None,
        watch: Watches | None = None,
    ) -> None:
        """Bind and listen at `address` (port 0: a free one, see `port`); `start` accepts. Raises OSError.

        `tls` is asked at each connection, so that a renewed certificate needs no restart; None: without.
        """
        self._ae = application_entity(ae_title)
        self._contexts = contexts
        self._admits = admits
        self._judge = judge
        self._begin_store = begin_store
        self._limits = limits
        self._handlers = handlers
        self._tls = tls
        self._watch = watch
        self._lock = threading.Lock()
        self._connections: dict[int, _Connection] = {}
        self._stopping = False
        self._wake, self._woken = socket.socketpair()
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._thread = threading.Thread(target=self._accept_all, name="accept", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens at."""
        return int(self._listener.getsockname()[1])

    @property
    def busy(self) -> int:
        """Messages that have begun and were not answered yet."""
        return sum(connection.acceptor is not None and connection.acceptor.busy for connection in self._all())

    def start(self) -> None:
        """Accept connections, in a thread of its own."""
        self._thread.start()

    def close(self, *, drain: float) -> bool:
        """Stop accepting, let messages that have begun finish for `drain` seconds, then close what is left.

        True when every connection had ended by itself. Threads are daemons: a stuck one keeps no process alive.
        """
        deadline = time.monotonic() + drain
        if self._stopping:
            return not self._all()
        self._stopping = True
        self._wake.send(b"!")
        if self._thread.is_alive():
            self._thread.join()
        for ours in (self._listener, self._wake, self._woken):
            ours.close()
        for connection in self._all():
            acceptor = connection.acceptor
            if connection.associated and acceptor is not None and connection.wire is not None:
                if not acceptor.busy:
                    connection.wire.interrupt()
            else:
                connection.hang_up()
        self._join(deadline)
        left = self._all()
        for connection in left:
            connection.hang_up()
        self._join(time.monotonic() + 1.0)
        return not left

    def _join(self, deadline: float) -> None:
        for connection in self._all():
            if connection.thread is not None:
                connection.thread.join(max(0.0, deadline - time.monotonic()))

    def _all(self) -> list[_Connection]:
        with self._lock:
            return list(self._connections.values())

    # ── accepting ────────────────────────────────────────────────────────────────────────────────────────────

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._stopping:
                selector.select()
                try:
                    accepted, remote = self._listener.accept()
                except BlockingIOError:
                    continue
                except OSError as error:  # out of file descriptors, or the peer went before we looked
                    _log.warning("accept failed", error=str(error))
                    self._evict()
                    continue
                self._take(accepted, remote)

    def _take(self, accepted: socket.socket, remote: tuple[Any, ...]) -> None:
        connection = _Connection(accepted, remote)
        if not self._admits(connection.address):
            _log.warning("connection refused: address not allowed", address=connection.address)
            if self._watch is not None:
                self._watch.refused(connection.address, "address not allowed")
            accepted.close()
            return
        with self._lock:
            self._connections[id(connection)] = connection
            silent = sum(not other.associated for other in self._connections.values())
        if silent > self._limits.max_silent:
            self._evict()
        connection.thread = threading.Thread(
            target=self._run, args=(connection,), name=f"peer {connection.address}", daemon=True
        )
        connection.thread.start()

    def _evict(self) -> None:
        """Close the oldest silent connection of the address that has most of them."""
        with self._lock:
            silent = [connection for connection in self._connections.values() if not connection.associated]
            if not silent:
                return
            busiest, _ = Counter(connection.address for connection in silent).most_common(1)[0]
            oldest = next(connection for connection in silent if connection.address == busiest)
        _log.warning("a silent connection makes way", address=oldest.address, silent=len(silent))
        oldest.hang_up()

    # ── one connection, in its own thread ────────────────────────────────────────────────────────────────────

    def _run(self, connection: _Connection) -> None:
        log = _log.bind(address=connection.address)
        try:
            self._serve(connection, log)
        except (WireError, CommandError) as error:
            log.info("association ended", why=str(error))
            self._say_why(connection, error)
        except ssl.SSLError as error:
            log.warning("connection refused: no TLS with it", why=error.reason or type(error).__name__)
            if self._watch is not None:
                self._watch.refused(connection.address, f"TLS: {error.reason or type(error).__name__}")
        except OSError as error:
            log.info("connection ended", why=str(error))
        except Exception:  # the outermost loop of this connection: the others go on
            log.exception("association failed")
            self._say_why(connection, WireError("failed", abort_reason=INVALID_PARAMETER))
        finally:
            connection.hang_up()
            connection.socket.close()
            with self._lock:
                self._connections.pop(id(connection), None)

    def _serve(self, connection: _Connection, log: Any) -> None:
        limits = self._limits
        deadline = time.monotonic() + limits.request_timeout
        tune(connection.socket, user_timeout=limits.acceptor.io_timeout)
        certificate = self._handshake(connection, deadline)
        wire = Wire(connection.socket, max_pdu=limits.acceptor.max_pdu, io_timeout=limits.acceptor.io_timeout)
        request = wire.read_negotiation(_REQUEST, deadline)
        acceptor = Acceptor(
            wire,
            ae=self._ae,
            contexts=self._contexts,
            handlers=self._handlers,
            begin_store=self._begin_store,
            limits=limits.acceptor,
            stopping=lambda: self._stopping,
        )
        connection.wire, connection.acceptor = wire, acceptor
        rejected = acceptor.negotiate(
            request,
            local=connection.socket.getsockname(),
            remote=connection.remote,
            certificate=certificate,
            judge=lambda asked: self._decide(connection, asked),
        )
        log = log.bind(calling=acceptor.calling_ae_title)
        if rejected:
            log.warning("association rejected", why=rejected)
            return
        log.info("association opened")
        with self._watched(connection):
            log.info("association ended", why=acceptor.serve())

    @contextlib.contextmanager
    def _watched(self, connection: _Connection) -> Iterator[None]:
        if self._watch is None or connection.request is None:
            yield
            return
        self._watch.opened(connection.request)
        try:
            yield
        finally:
            self._watch.ended(connection.request)

    def _handshake(self, connection: _Connection, deadline: float) -> Any:
        """TLS where it is asked for; the client's certificate as getpeercert() tells it."""
        context = self._tls() if self._tls is not None else None
        if context is None:
            return None
        wrapped = context.wrap_socket(connection.socket, server_side=True, do_handshake_on_connect=False)
        # at once: the plain socket is empty now, and whoever is silent from here on must still be able to make way
        connection.socket = wrapped
        if connection.hung_up:  # while it was neither the one nor the other
            raise WireError("hung up before its handshake")
        wrapped.settimeout(max(0.001, deadline - time.monotonic()))
        wrapped.do_handshake()
        return wrapped.getpeercert()

    def _decide(self, connection: _Connection, request: AssociationRequest) -> Rejection | None:
        rejection = self._judge(request) or self._within_limits(connection, request)
        if rejection is not None and self._watch is not None:
            self._watch.rejected(request, rejection)
        connection.request = request
        return rejection

    def _within_limits(self, connection: _Connection, request: AssociationRequest) -> Rejection | None:
        with self._lock:
            associated = [other for other in self._connections.values() if other.associated]
            of_peer = sum(other.address == request.address for other in associated)
            if len(associated) >= self._limits.max_associations or of_peer >= self._limits.max_associations_per_peer:
                return LOCAL_LIMIT_EXCEEDED
            connection.associated = True
        return None

    def _say_why(self, connection: _Connection, error: Exception) -> None:
        """An A-ABORT where the peer might still hear one."""
        reason = error.abort_reason if isinstance(error, WireError) else INVALID_PARAMETER
        stopped = self._stopping and connection.associated
        if connection.acceptor is not None and (reason is not None or stopped):
            with contextlib.suppress(WireError):
                connection.acceptor.abort(reason)
