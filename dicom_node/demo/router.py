"""Auto-routing as archives do it: a study's images go on to a peer once the study has been quiet for a moment."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.demo.sending import send_all
from dicom_node.errors import NodeError, Permanent


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where every new study goes, but for what came from there."""

    ae_title: str
    host: str
    port: int
    #: seconds without a new image of the study after which it goes on
    quiet: float = 0.5


@dataclass(kw_only=True)
class _Waiting:
    """One study on one route."""

    due: float
    paths: list[Path] = field(default_factory=list)


class Router:
    """One thread that sends what is due; what fails, but is not refused, is due again a second later."""

    def __init__(self, ae_title: str, routes: Mapping[str, Route]) -> None:
        self._ae_title = ae_title
        self._routes = routes
        self._changed = threading.Condition()
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="router", daemon=True)
        #: why the last attempt on a route failed, by the route's name; a route that works is not in it
        self.trouble: dict[str, str] = {}
        #: what a peer will never take, by Study Instance UID: not tried again
        self.refused: dict[str, str] = {}

    @property
    def peers(self) -> frozenset[str]:
        """AE titles of whoever it routes to."""
        return frozenset(route.ae_title for route in self._routes.values())

    def start(self) -> None:
        """Send, from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more; an attempt that is under way ends first."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(10)

    def arrived(self, study_instance_uid: str, path: Path, *, sender: str) -> None:
        """A new object of that study lies at `path`."""
        now = time.monotonic()
        with self._changed:
            for name, route in self._routes.items():
                if sender != route.ae_title:
                    waiting = self._waiting.setdefault((name, study_instance_uid), _Waiting(due=now))
                    waiting.paths.append(path)
                    waiting.due = now + route.quiet
            self._changed.notify_all()

    def _run(self) -> None:
        while (found := self._next()) is not None:
            key, waiting = found
            route = self._routes[key[0]]
            try:
                send_all(waiting.paths, route.host, route.port, called=route.ae_title, calling=self._ae_title)
            except Permanent as error:
                self.refused[key[1]] = str(error)
            except NodeError as error:
                self.trouble[key[0]] = str(error)
                self._again(key, waiting)
            else:
                self.trouble.pop(key[0], None)

    def _next(self) -> tuple[tuple[str, str], _Waiting] | None:
        """The next study that is due, taken out; None when it is time to stop."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                key = min(self._waiting, key=lambda k: self._waiting[k].due, default=None)
                if key is None:
                    self._changed.wait()
                elif self._waiting[key].due <= now:
                    return key, self._waiting.pop(key)
                else:
                    self._changed.wait(self._waiting[key].due - now)
        return None

    def _again(self, key: tuple[str, str], failed: _Waiting) -> None:
        with self._changed:
            waiting = self._waiting.setdefault(key, _Waiting(due=0.0))
            waiting.paths[:0] = failed.paths
            waiting.due = time.monotonic() + 1.0
