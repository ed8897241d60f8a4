"""What one look of the doctor says."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    OK = "ok"
    #: it works, and somebody should know
    WARNING = "warning"
    #: it does not work
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line: what was looked at, what was seen, what to do about it."""

    what: str
    health: Health
    said: str
    #: what to do; empty where there is nothing to do
    advice: str = ""


def ok(what: str, said: str) -> Check:
    """It works."""
    return Check(what=what, health=Health.OK, said=said)


def warning(what: str, said: str, advice: str) -> Check:
    """It works, and somebody should know."""
    return Check(what=what, health=Health.WARNING, said=said, advice=advice)


def failed(what: str, said: str, advice: str) -> Check:
    """It does not work."""
    return Check(what=what, health=Health.FAILED, said=said, advice=advice)


def passed(checks: Iterable[Check]) -> bool:
    """Nothing failed."""
    return all(check.health is not Health.FAILED for check in checks)
