"""Who asks for an association, and the answers that turn one away (PS3.8 9.3.4)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class UserIdentity:
    """User and passcode of User Identity Negotiation, type 2 (PS3.7 D.3.3.7.1)."""

    user: str
    passcode: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class AssociationRequest:
    """What is known of a requestor before anything is negotiated."""

    #: the IP address that the connection comes from
    address: str
    calling_ae_title: str
    called_ae_title: str
    #: what `ssl.SSLSocket.getpeercert()` said; None without TLS or without a client certificate
    certificate: dict[str, Any] | None = field(default=None, repr=False)
    #: the user that the requestor says it is; None where it says none, or says it in another way than by a passcode
    user: UserIdentity | None = None


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """An A-ASSOCIATE-RJ, and what the log says of it."""

    #: 1 permanent, 2 transient
    result: int
    #: 1 service user, 3 service provider (presentation)
    source: int
    diagnostic: int
    reason: str


CALLING_NOT_RECOGNISED = Rejection(result=1, source=1, diagnostic=3, reason="calling AE title not recognised")
CERTIFICATE_OF_ANOTHER = Rejection(
    result=1, source=1, diagnostic=3, reason="calling AE title not recognised: the certificate names another"
)
USER_NOT_AUTHENTICATED = Rejection(result=1, source=1, diagnostic=1, reason="no reason given: the user is not known")
CALLED_NOT_RECOGNISED = Rejection(result=1, source=1, diagnostic=7, reason="called AE title not recognised")
TEMPORARY_CONGESTION = Rejection(result=2, source=3, diagnostic=1, reason="temporary congestion")
LOCAL_LIMIT_EXCEEDED = Rejection(result=2, source=3, diagnostic=2, reason="local limit exceeded")


class Watches(Protocol):
    """Who wants to know what happens at the door. Called from many threads, the accepting one too: it must not wait."""

    def refused(self, address: str, why: str) -> None:
        """A connection ended before anything was asked for."""

    def rejected(self, request: AssociationRequest, rejection: Rejection) -> None:
        """An association was asked for, and not given."""

    def opened(self, request: AssociationRequest) -> None:
        """An association is open; its messages are served in the calling thread."""

    def ended(self, request: AssociationRequest) -> None:
        """It is over, in whatever way; the same thread."""


#: whether an address may speak at all, asked before a byte of it is read
Admits = Callable[[str], bool]
#: whether an association may be had; None: yes
Judges = Callable[[AssociationRequest], Rejection | None]
