"""The Storage and Storage Commitment SCP: the hardened server at one end, the intake at the other."""

import ssl
from collections.abc import Sequence
from typing import Any

from pynetdicom import evt
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from dicom_node.audit import Trail, trail
from dicom_node.config import PeerSection, ReceiveSection, Settings, TLSSection
from dicom_node.dimse.acceptor import AcceptorLimits, Declined, Incoming
from dicom_node.dimse.commands import StoreRequest
from dicom_node.dimse.contexts import accepted_contexts
from dicom_node.dimse.requests import TEMPORARY_CONGESTION, AssociationRequest, Rejection
from dicom_node.dimse.server import Server, ServerLimits
from dicom_node.dimse.status import Status
from dicom_node.dimse.tls import server_context
from dicom_node.receive.callers import Callers
from dicom_node.receive.commitment import CommitmentSCP
from dicom_node.receive.intake import Intake
from dicom_node.receive.watch import DoorWatch


class StoreSCP:
    """Listens once start() is called; C-ECHO and C-STORE for the peers that may send, commitments where given."""

    def __init__(
        self,
        intake: Intake,
        settings: ReceiveSection,
        *,
        peers: Sequence[PeerSection],
        ae_title: str,
        tls: TLSSection | None = None,
        audit: Trail | None = None,
        commitment: CommitmentSCP | None = None,
    ) -> None:
        """Binds the address of `settings`. Raises OSError where it can't, ConfigurationError for certificates."""
        self._intake = intake
        self._commitment = commitment
        self._watch = DoorWatch(audit or trail())
        #: the settings in force, which renew() replaces
        self.tls = tls or TLSSection()
        self._let_in(peers, ae_title=ae_title, tls=tls or TLSSection())
        self._server = Server(
            (settings.host, settings.port),
            ae_title=ae_title,
            contexts=accepted_contexts(),
            admits=lambda address: self._callers.admits(address),
            judge=self._judge,
            begin_store=self._begin_store,
            handlers=[
                (evt.EVT_USER_ID, self._confirm_user),
                *(commitment.handlers if commitment is not None else ()),
            ],
            tls=lambda: self._tls,
            watch=self._watch,
            limits=ServerLimits(
                acceptor=AcceptorLimits(
                    max_pdu=settings.max_pdu,
                    io_timeout=settings.io_timeout,
                    message_timeout=settings.message_timeout,
                    idle_timeout=settings.idle_timeout,
                ),
                max_associations=settings.max_associations,
                max_associations_per_peer=settings.max_associations_per_peer,
                request_timeout=settings.io_timeout,
            ),
        )

    @property
    def port(self) -> int:
        """The port that it listens at, where the settings left it open (0)."""
        return self._server.port

    def start(self) -> None:
        """Accept associations from now on."""
        self._server.start()

    def renew(self, settings: Settings) -> None:
        """Let in whom `settings` name, with the certificates as they are now; open associations go on.

        Raises ConfigurationError, with nothing changed.
        """
        self._let_in(settings.peers, ae_title=settings.node.ae_title, tls=settings.tls)
        if self._commitment is not None:
            self._commitment.renew(settings.peers)

    def close(self, *, drain: float) -> bool:
        """Refuse what is new, finish what has begun within `drain` seconds; whether all of it did."""
        return self._server.close(drain=drain)

    def _let_in(self, peers: Sequence[PeerSection], *, ae_title: str, tls: TLSSection) -> None:
        context: ssl.SSLContext | None = server_context(tls) if tls.receive else None
        self._callers = Callers(peers, ae_title=ae_title, certificates=tls.receive and tls.mutual)
        self._tls = context
        self.tls = tls

    def _confirm_user(self, event: Any) -> tuple[bool, bytes | None]:
        """The judge has looked at the user: say so to who was asked for one and wants to hear it (PS3.7 D.3.3.7.2)."""
        asked = event.assoc.requestor
        was_asked_for = self._callers.asks_for_user(asked.primitive.calling_ae_title.strip())
        if was_asked_for and asked.user_identity.positive_response_requested:
            answer = UserIdentityNegotiation()
            answer.server_response = b""
            event.assoc.acceptor.add_negotiation_item(answer)
        return True, None

    def _judge(self, request: AssociationRequest) -> Rejection | None:
        """Some senders take every error status for good, but a rejected association for a reason to retry."""
        rejection = self._callers.judge(request)
        if rejection is None and not self._intake.has_room():
            return TEMPORARY_CONGESTION
        return rejection

    def _begin_store(self, request: StoreRequest) -> Incoming:
        if not self._callers.may_store(request.calling_ae_title):
            return Declined(Status.NOT_AUTHORISED, "not configured as a peer that sends")
        incoming = self._intake.begin(
            sop_class_uid=request.affected_sop_class_uid,
            sop_instance_uid=request.affected_sop_instance_uid,
            transfer_syntax_uid=request.transfer_syntax_uid,
            calling_ae_title=request.calling_ae_title,
            priority=request.priority,
        )
        return self._watch.watched(incoming)
