"""The seam between the outbox and the kinds of destination: send(results) → outcomes."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from dicom_node.domain import Kind, Profile


class Verdict(StrEnum):
    """What became of one result."""

    #: the destination has it
    STORED = "stored"
    #: it may succeed later
    RETRY = "retry"
    #: the destination will not have it, however often it is asked
    REFUSED = "refused"
    #: what it belongs to is not there yet: later, and the destination is not to blame
    WAIT = "wait"
    #: it belongs elsewhere by now: not without a person's word
    HOLD = "hold"
    #: it was not this one's turn: an earlier one ended the connection
    UNTRIED = "untried"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One result's outcome, with what the destination said to it."""

    verdict: Verdict
    detail: str = ""
    #: there was no connection, so that it says nothing of the result
    unreached: bool = False


class Sendable(Protocol):
    """What a destination needs to know of an object; a StoredResult is one."""

    @property
    def kind(self) -> Kind | None:
        """None: it is no result of ours."""

    @property
    def profile(self) -> Profile: ...

    @property
    def sop_class_uid(self) -> str: ...

    @property
    def sop_instance_uid(self) -> str: ...

    @property
    def transfer_syntax_uid(self) -> str: ...

    @property
    def spool_key(self) -> str: ...


class Destination(Protocol):
    """One place that results go to."""

    def send(self, results: Sequence[Sendable]) -> Generator[Outcome, None, None]:
        """Send `results` over one connection; one Outcome each, in their order, as soon as it is known.

        Raises nothing that the destination or the way to it may cause: that is an Outcome. Closing the iterator
        closes the connection.
        """
        ...
