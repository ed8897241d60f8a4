"""The audit trail of one process: each event as XML, to the places that the configuration names."""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dicom_node.audit import message
from dicom_node.audit.message import Event, Participant, Transfer
from dicom_node.audit.sink import Sink
from dicom_node.audit.syslog import Syslog
from dicom_node.config import Settings
from dicom_node.dimse.tls import client
from dicom_node.logs import hashed
from dicom_node.security import AuditSection, TLSSection

#: seconds that messages have to get out once a process ends
_FAREWELL = 3.0


class Trail:
    """Where the process says what happened. Its methods neither raise nor wait; it may be called from many threads."""

    def __init__(self, section: AuditSection, *, tls: TLSSection, ae_title: str) -> None:
        host = socket.gethostname()
        self.ae_title = ae_title
        self.host = host
        self._source = section.source or f"{ae_title}@{host}"
        self._hashes = section.identifiers == "hashed"
        self._sinks: list[Sink] = []
        if section.file is not None:
            self._sinks.append(Sink(str(section.file), _Lines(section.file).write))
        if section.syslog_host:
            syslog = Syslog(section.syslog_host, section.syslog_port, tls=lambda: client(tls, ca=section.syslog_ca))
            self._sinks.append(Sink(f"{section.syslog_host}:{section.syslog_port}", syslog.write, end=syslog.close))

    @property
    def is_on(self) -> bool:
        """Whether anything is written: what is costly to find out need not be found out otherwise."""
        return bool(self._sinks)

    def say(self, event: Event) -> None:
        """Write `event` down, everywhere, soon."""
        if not self._sinks:
            return
        transfer = event.transfer
        if transfer is not None and self._hashes:
            transfer = replace(
                transfer,
                study_instance_uid=hashed(transfer.study_instance_uid),
                patient_id=hashed(transfer.patient_id),
            )
        written = message.as_xml(replace(event, transfer=transfer), at=time.time(), source=self._source)
        for sink in self._sinks:
            sink.put(written)

    def application(self, *, starts: bool) -> None:
        """Application Activity: this process starts, or stops."""
        self.say(
            Event(
                event=message.APPLICATION_ACTIVITY,
                kind=message.APPLICATION_START if starts else message.APPLICATION_STOP,
                action=message.Action.EXECUTE,
                participants=[self.process],
            )
        )

    def alert(self, *, about: str, why: str, participants: Sequence[Participant]) -> None:
        """Security Alert, Node Authentication: somebody at `about` (AE title or address) was turned away."""
        self.say(
            Event(
                event=message.SECURITY_ALERT,
                kind=message.NODE_AUTHENTICATION,
                action=message.Action.EXECUTE,
                outcome=message.Outcome.MINOR_FAILURE,
                description=why,
                participants=[self.process, *participants],
                subject=about,
            )
        )

    def deleted(self, study_instance_uid: str, *, patient_id: str) -> None:
        """DICOM Study Deleted: this process deleted all that it had of a study."""
        self.say(
            Event(
                event=message.STUDY_DELETED,
                action=message.Action.DELETE,
                participants=[self.process],
                transfer=Transfer(study_instance_uid=study_instance_uid, patient_id=patient_id),
            )
        )

    @property
    def process(self) -> Participant:
        """This process as it takes part."""
        return Participant.process(self.ae_title, self.host)

    def close(self, seconds: float = _FAREWELL) -> None:
        """Write what waits, within `seconds` a place."""
        for sink in self._sinks:
            sink.close(seconds)


class _Process:
    """The trail of this process: a silent one until configure()."""

    trail = Trail(AuditSection(), tls=TLSSection(), ae_title="CHEXNODE")


def configure(settings: Settings) -> Trail:
    """Set the process's trail up; close it at the end."""
    _Process.trail = Trail(settings.audit, tls=settings.tls, ae_title=settings.node.ae_title)
    return _Process.trail


def trail() -> Trail:
    """The process's trail."""
    return _Process.trail


class _Lines:
    """Appends to a file, one message a line. It is opened for each, so that it can be moved away at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, line: str) -> None:
        """Raises OSError. One write: lines of several processes do not mix."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            data = line.encode() + b"\n"
            if os.write(descriptor, data) < len(data):
                raise OSError(f"{self._path} took a part of a message only")
        finally:
            os.close(descriptor)
