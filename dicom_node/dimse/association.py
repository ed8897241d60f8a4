"""Asking a peer for an association: connect, negotiate (pynetdicom does), and what each refusal means."""

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence

from pynetdicom import build_context, build_role
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.presentation import PresentationContext

from dicom_node.dimse.contexts import verification_contexts
from dicom_node.dimse.provider import application_entity, requesting_association
from dicom_node.dimse.requestor import OUR_PDU, Answer, OpenAssociation, Timeouts
from dicom_node.dimse.requests import UserIdentity
from dicom_node.dimse.tls import Wraps
from dicom_node.dimse.wire import Wire, WireError, hang_up, tune
from dicom_node.errors import NothingAccepted, PeerUnavailable, Refused

__all__ = ["Answer", "OpenAssociation", "Timeouts", "echo", "open_association"]

_CALLING_NOT_RECOGNISED, _CALLED_NOT_RECOGNISED = 3, 7
#: User Identity Type of username and passcode (PS3.7 Table D.3-14)
_USER_AND_PASSCODE = 2


@contextlib.contextmanager
def open_association(
    host: str,
    port: int,
    *,
    called: str,
    calling: str,
    contexts: Sequence[PresentationContext],
    provides: Sequence[str] = (),
    timeouts: Timeouts | None = None,
    tls: Wraps | None = None,
    user: UserIdentity | None = None,
) -> Iterator[OpenAssociation]:
    """Connect to `host`:`port` and propose `contexts` (see contexts.proposed_contexts); released on leaving.

    `provides` are SOP classes that the peer may send to us over it (PS3.7 D.3.3.4); `user` is who we say we are.

    Raises PeerUnavailable where there is no connection, no answer in time, or a transient rejection; Refused for a
    permanent rejection, NothingAccepted where the peer accepts none of the contexts.
    """
    limits = timeouts or Timeouts()
    peer = f"{called} at {host}:{port}"
    connection = _connect(host, port, peer, limits, tls)
    try:
        opened = _negotiate(
            connection,
            peer,
            called=called,
            calling=calling,
            contexts=contexts,
            provides=provides,
            timeouts=limits,
            user=user,
        )
        try:
            yield opened
        except BaseException:
            opened.abort()
            raise
        opened.release()
    finally:
        hang_up(connection)
        connection.close()


def echo(
    host: str,
    port: int,
    *,
    called: str,
    calling: str,
    timeouts: Timeouts | None = None,
    tls: Wraps | None = None,
) -> float:
    """C-ECHO over an association of its own; seconds that all of it took. Raises PeerUnavailable, Refused."""
    started = time.monotonic()
    with open_association(
        host, port, called=called, calling=calling, contexts=verification_contexts(), timeouts=timeouts, tls=tls
    ) as opened:
        opened.echo()
    return time.monotonic() - started


def _connect(host: str, port: int, peer: str, timeouts: Timeouts, tls: Wraps | None) -> socket.socket:
    try:
        connection = socket.create_connection((host, port), timeout=timeouts.connect)
    except OSError as error:
        raise PeerUnavailable(f"cannot connect to {peer} ({error}): does it run, is the address right?") from error
    try:
        tune(connection, user_timeout=timeouts.response)
        return connection if tls is None else tls.wrap_socket(connection, server_hostname=host)
    except OSError as error:
        connection.close()
        raise PeerUnavailable(f"no TLS with {peer} ({error}): check both certificates") from error


def _negotiate(
    connection: socket.socket,
    peer: str,
    *,
    called: str,
    calling: str,
    contexts: Sequence[PresentationContext],
    provides: Sequence[str],
    timeouts: Timeouts,
    user: UserIdentity | None,
) -> OpenAssociation:
    wire = Wire(connection, max_pdu=OUR_PDU, io_timeout=timeouts.response)
    association = requesting_association(application_entity(calling), wire)
    association.acse_timeout = timeouts.connect
    association.acceptor.ae_title = called
    association.requestor.maximum_length = OUR_PDU
    # copies, since each gets its number here and the caller may propose the same ones to another peer
    proposed = [build_context(context.abstract_syntax, list(context.transfer_syntax)) for context in contexts]
    for position, context in enumerate(proposed):
        context.context_id = 2 * position + 1
    association.requestor.requested_contexts = proposed
    for sop_class_uid in dict.fromkeys(provides):
        association.requestor.add_negotiation_item(build_role(sop_class_uid, scp_role=True))
    if user is not None:
        association.requestor.add_negotiation_item(_identity(user))
    try:
        association.acse.negotiate_association()
    except WireError as error:
        raise PeerUnavailable(f"{peer} did not answer the association request: {error}") from error
    if association.is_established:
        return OpenAssociation(wire, association, peer=peer, timeouts=timeouts)
    answer = association.acceptor.primitive
    if answer is None:
        raise PeerUnavailable(f"{peer} aborted the association request")
    if answer.result == 0:
        raise NothingAccepted(f"{peer} accepts none of the presentation contexts that were proposed")
    if answer.result == 2:
        raise PeerUnavailable(f"{peer} has no room for an association now ({answer.reason_str})")
    advice = {
        _CALLING_NOT_RECOGNISED: f"; its administrator must make AE title {calling} known to it",
        _CALLED_NOT_RECOGNISED: f"; is {called} its AE title?",
    }.get(answer.diagnostic, "")
    raise Refused(f"{peer} rejected the association ({answer.reason_str}){advice}")


def _identity(user: UserIdentity) -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type = _USER_AND_PASSCODE
    item.primary_field = user.user.encode()
    item.secondary_field = user.passcode.encode()
    # who does not know this item would not answer it, and take the association all the same
    item.positive_response_requested = False
    return item
