"""Log lines without identifying values: JSON for machines, colours for a terminal, keyed hashes for UIDs."""

import hashlib
import hmac
import logging
import os
import secrets
import sys
import traceback
import warnings
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

from dicom_node.config import NodeSection
from dicom_node.errors import NodeError

_KEY_NAME = "log.key"
_KEY_BYTES = 32
#: libraries whose messages quote the values that they are about
_QUOTING = ("pydicom", "pynetdicom", "highdicom", "sqlalchemy")


class _Hashes:
    """The key of this process; one drawn at random until configure() has read the node's."""

    key: bytes = secrets.token_bytes(_KEY_BYTES)


def configure(node: NodeSection, role: str) -> None:
    """Set logging up for one process of the node; lines go to standard error and name `role`."""
    _Hashes.key = load_key(node.folder)
    level = logging.getLevelNamesMapping()[node.log_level.upper()]
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            _Process(role=str(role), pid=os.getpid()),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _where_it_failed,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    for name in _QUOTING:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # a warning of pydicom's quotes the value that it is about
    warnings.simplefilter("ignore")


def load_key(folder: Path) -> bytes:
    """The node's key for hashes in logs, made at first use; only its owner can read it."""
    path = folder / _KEY_NAME
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = folder / f"{_KEY_NAME}.{secrets.token_hex(8)}"
        handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        try:
            os.link(made, path)  # whole or not at all: several roles may start at once
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return path.read_bytes()


def hashed(identifier: str, *, key: bytes | None = None) -> str:
    """A UID or an accession number as it may stand in a log: 12 hex digits, the same throughout one node.

    Without the node's key nobody can tell which identifier it was; with it (`load_key`), `status` can look it up.
    """
    digest = hmac.new(_Hashes.key if key is None else key, identifier.encode(), hashlib.sha256)
    return digest.hexdigest()[:12]


class _Process:
    """Adds who speaks; not by context variables, which threads do not inherit."""

    def __init__(self, **who: str | int) -> None:
        self._who = who

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.update(self._who)
        return event


def _where_it_failed(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception as its type and its frames; its words only if they are ours, others quote what they choke on."""
    told = event.pop("exc_info", None)
    if not told:
        return event
    error = told if isinstance(told, BaseException) else sys.exc_info()[1]
    if error is not None:
        event["error_type"] = type(error).__qualname__
        if isinstance(error, NodeError):
            event["error"] = str(error)
        frames = traceback.extract_tb(error.__traceback__)
        event["frames"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return event
