"""The network in detail: association policies, statuses and what the node does at each; who is let in."""

from collections.abc import Iterator

from dicom_node.config import Settings
from dicom_node.conformance import commitment, services
from dicom_node.conformance.markdown import bullets, heading, paragraph, table
from dicom_node.deliver.destination import Verdict
from dicom_node.deliver.outbox import BATCH
from dicom_node.deliver.statuses import STORE_STATUSES
from dicom_node.dimse.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.dimse.requestor import OUR_PDU
from dicom_node.dimse.status import ANSWERS

_RESULTS = {1: "permanent", 2: "transient"}
_SOURCES = {1: "service user", 2: "service provider (ACSE)", 3: "service provider (presentation)"}
_VERDICTS = {
    Verdict.STORED: "stored; not sent again",
    Verdict.RETRY: "sent again later",
    Verdict.REFUSED: "failed; a person may `chexnode retry`",
}


def networking(settings: Settings) -> Iterator[str]:
    """Section 7."""
    yield from heading(2, "7 Network details")
    yield from _associations(settings)
    yield from _rejections()
    yield from _answers()
    yield from _statuses()
    yield from commitment.statuses()


def _to_destinations(settings: Settings) -> str:
    several = [f"{peer.associations} to `{peer.name}`" for peer in settings.destinations if peer.associations > 1]
    return ", ".join(["1 a destination", *several])


def _associations(settings: Settings) -> Iterator[str]:
    receive, deliver = settings.receive, settings.deliver
    yield from heading(3, "7.1 Association policies")
    yield from table(
        ("policy", "as acceptor", "as requestor"),
        [
            ("application context", "1.2.840.10008.3.1.1.1", "1.2.840.10008.3.1.1.1"),
            ("implementation class UID", IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_CLASS_UID),
            ("implementation version name", IMPLEMENTATION_VERSION_NAME, IMPLEMENTATION_VERSION_NAME),
            ("maximum PDU that is taken, bytes", receive.max_pdu, OUR_PDU),
            (
                "associations at one time",
                f"{receive.max_associations}, of one peer {receive.max_associations_per_peer}",
                _to_destinations(settings),
            ),
            ("results over one association", "", f"at most {BATCH}"),
            ("asynchronous operations window", "not supported", "not supported"),
            ("SCP/SCU role selection", "for Storage Commitment alone", "for Storage Commitment, and what C-GET brings"),
            ("SOP class extended negotiation", "not supported", "not proposed"),
            (
                "deadline for a connection and its negotiation, s",
                f"{receive.io_timeout:g}",
                f"{deliver.connect_timeout:g}",
            ),
            (
                "deadline for the next bytes, or an answer, s",
                f"{receive.io_timeout:g}",
                f"{deliver.response_timeout:g}",
            ),
            ("deadline for one message, s", f"{receive.message_timeout:g}", ""),
            ("an idle association is ended after, s", f"{receive.idle_timeout:g}", "released at once"),
            ("largest data set, bytes", receive.max_object_size, ""),
            (
                "wait before the next attempt, s",
                "",
                f"{deliver.retry_first:g}, doubled each time, at most {deliver.retry_longest:g}",
            ),
        ],
    )


def _rejections() -> Iterator[str]:
    yield from heading(3, "7.2 Associations that are rejected")
    yield from table(
        ("result", "source", "reason", "when"),
        [
            (
                f"{rejection.result} {_RESULTS[rejection.result]}",
                f"{rejection.source} {_SOURCES[rejection.source]}",
                f"{rejection.diagnostic} {rejection.reason}",
                when,
            )
            for rejection, when in services.rejections()
        ],
    )


def _answers() -> Iterator[str]:
    yield from heading(3, "7.3 Statuses of C-STORE as SCP")
    yield from table(
        ("status", "name", "meaning", "what a sender should do"),
        [
            (f"{status:04X}", status.name.replace("_", " ").lower(), meaning, what_to_do)
            for status, (meaning, what_to_do) in ANSWERS.items()
        ],
    )
    yield from paragraph(
        "C-ECHO is answered with 0000. A message that breaks the protocol ends the association with an A-ABORT."
    )


def _statuses() -> Iterator[str]:
    yield from heading(3, "7.4 Statuses of C-STORE as SCU, and Failure Reasons of STOW-RS")
    yield from table(
        ("status", "meaning", "what becomes of the result"),
        [(row.code if row.mask else "other", row.meaning, _VERDICTS[row.verdict]) for row in STORE_STATUSES],
    )
    yield from paragraph(
        """An association that is rejected, a connection that fails or ends, a deadline that passes: sent again later. A
        destination that accepts a result's SOP class in none of its transfer syntaxes: failed."""
    )


def security(settings: Settings) -> Iterator[str]:
    """Section 8."""
    yield from heading(2, "8 Security")
    yield from bullets(
        """Only addresses of peers that may send are let in, before a byte is read; the calling AE title must belong
        to its address, the called AE title must be the node's. A peer with `user` must give that user and its passcode
        (User Identity Negotiation, type 2); the node gives `own_user` where that is set.""",
        _as_acceptor(settings),
        """As requestor, peers with `tls = true` are spoken to over TLS 1.2 or 1.3 only (BCP 195); their certificate is
        always verified, and must bear their host's name or one of `certificate_names`. """
        + (_peers_over_tls(settings) or "No peer is configured so."),
        """DICOMweb over https is verified against the public CAs or `dicomweb_ca`. The node identifies itself by
        `dicomweb_authentication` (none, HTTP Basic, bearer token) and, if wanted, a client certificate; no secret
        is sent unencrypted to another machine.""",
        """Pixels of others are decoded in a child process with limits on memory and time. Logs hold no patient's
        name, birth date or identifier; UIDs appear as keyed hashes.""",
        _audited(settings),
        f"""What is not delivered is kept; a study is deleted {settings.retention.days:g} days after its last delivery
        ended.""",
    )


def _as_acceptor(settings: Settings) -> str:
    tls = settings.tls
    if not tls.receive:
        return "As acceptor, DICOM is taken without TLS (`tls.receive` is false)."
    shown = "whoever sends must show a certificate that names it" if tls.mutual else "senders need no certificate"
    return f"As acceptor, DICOM is taken over TLS 1.2 or 1.3 only (BCP 195, PS3.15 B.12); {shown}."


def _peers_over_tls(settings: Settings) -> str:
    names = ", ".join(f"`{peer.name}`" for peer in settings.peers if peer.tls)
    return f"So configured: {names}." if names else ""


def _audited(settings: Settings) -> str:
    audit = settings.audit
    repository = f"to {audit.syslog_host}:{audit.syslog_port} by syslog over TLS (RFC 5425)"
    sinks = [*(["to a file"] if audit.file else []), *([repository] if audit.syslog_host else [])]
    if not sinks:
        return "No audit messages are written (`[audit]` names neither a file nor a repository)."
    return f"Audit messages (PS3.15 A.5) are written {' and '.join(sinks)}, identifiers {audit.identifiers}."
