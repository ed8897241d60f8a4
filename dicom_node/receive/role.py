"""The receive role: listens, and says that it is alive, until it is told to stop."""

import threading
import time
from collections.abc import Callable, Iterable

import structlog

from dicom_node.alive import HEARTBEAT, say_alive
from dicom_node.audit import trail
from dicom_node.certificates import ends_soon
from dicom_node.config import Role, Settings, TLSSection
from dicom_node.errors import ConfigurationError, LedgerUnavailable, OutOfRoom, StorageFault
from dicom_node.ledger import Ledger
from dicom_node.parameters import parameters_by_source, parameters_digest
from dicom_node.receive.commitment import CommitmentSCP
from dicom_node.receive.intake import Intake
from dicom_node.receive.scp import StoreSCP
from dicom_node.spool import Spool

_log = structlog.get_logger(__name__)

#: seconds that a message which has begun may take to end once the role is told to stop
DRAIN = 10.0


#: seconds between two looks at when certificates end
_LOOK_AT_CERTIFICATES = 86400.0


def run(
    settings: Settings,
    stop: threading.Event,
    renewals: Iterable[Settings] = (),
    listening: Callable[[], None] = lambda: None,
) -> None:
    """Receive until `stop` is set, then drain; by other settings each time that `renewals` gives some.

    `listening` is called once peers may call.

    Raises ConfigurationError where the address can't be listened at, SchemaMismatch for another version's ledger.
    """
    ledger = Ledger.for_settings(settings.node)
    spool = Spool(settings.node.folder / "spool")
    try:
        intake = Intake(
            spool,
            ledger,
            parameters=parameters_digest(settings),
            parameters_by_source=parameters_by_source(settings),
            low_watermark=settings.receive.low_watermark,
            max_object_size=settings.receive.max_object_size,
            priority=settings.priority,
        )
        scp = _listen(settings, intake, ledger)
        _log.info(
            "listening",
            host=settings.receive.host,
            port=scp.port,
            ae_title=settings.node.ae_title,
            tls=settings.tls.receive,
        )
        listening()
        threading.Thread(target=_renew, args=(renewals, settings, scp, intake), name="renewals", daemon=True).start()
        looked = -_LOOK_AT_CERTIFICATES
        try:
            while True:
                if time.monotonic() - looked >= _LOOK_AT_CERTIFICATES:
                    looked = time.monotonic()
                    _warn_of_certificates(scp.tls)
                _beat(ledger)
                intake.lay_ballast()
                if stop.wait(HEARTBEAT):
                    break
        finally:
            if not scp.close(drain=DRAIN):
                _log.warning("a peer did not finish in time and was cut off; it will send again", seconds=DRAIN)
    finally:
        spool.close()
        ledger.close()


def _renew(renewals: Iterable[Settings], running: Settings, scp: StoreSCP, intake: Intake) -> None:
    """Take what can be taken while associations are open; what can't stays as it was, and the log says so."""
    for settings in renewals:
        try:
            scp.renew(settings)
        except ConfigurationError as error:
            _log.error("the new settings are not taken, the old ones stay", why=str(error))
            continue
        intake.renew(
            parameters=parameters_digest(settings),
            parameters_by_source=parameters_by_source(settings),
            priority=settings.priority,
        )
        _log.info("peers and certificates were read again", tls=settings.tls.receive)
        _warn_of_certificates(scp.tls)
        if (settings.receive, settings.node) != (running.receive, running.node):
            _log.warning("[receive] and [node] are only taken at a start: restart the node")


def _warn_of_certificates(tls: TLSSection) -> None:
    for warning in ends_soon(tls, now=time.time()):
        _log.warning("a certificate ends", what=warning)


def _listen(settings: Settings, intake: Intake, ledger: Ledger) -> StoreSCP:
    receive = settings.receive
    try:
        scp = StoreSCP(
            intake,
            receive,
            peers=settings.peers,
            ae_title=settings.node.ae_title,
            tls=settings.tls,
            audit=trail(),
            commitment=CommitmentSCP(ledger, settings.peers),
        )
    except OSError as error:
        raise ConfigurationError(
            f"receive.host/port: cannot listen at {receive.host}:{receive.port} ({error.strerror}); "
            "is another program there, or is the address not this machine's?"
        ) from error
    scp.start()
    return scp


def _beat(ledger: Ledger) -> None:
    """A ledger that is away or full must not end the role: what is sent meanwhile is answered with 'try later'."""
    try:
        say_alive(ledger, Role.RECEIVE)
    except (LedgerUnavailable, OutOfRoom, StorageFault) as error:
        _log.error("no sign of life could be written", why=str(error))
