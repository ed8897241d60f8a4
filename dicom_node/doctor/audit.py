"""Whether audit messages get to where they should: nothing is written, the repository is only shaken hands with."""

import os
import socket
from collections.abc import Iterator

from dicom_node.config import Settings
from dicom_node.dimse.tls import client
from dicom_node.doctor.check import Check, failed, ok
from dicom_node.errors import ConfigurationError

_WHAT = "audit"
_WAITS = "audit messages wait in memory until it answers, 10,000 at most"


def checks(settings: Settings) -> Iterator[Check]:
    """One check a place that the configuration names."""
    section = settings.audit
    if section.file is not None:
        looked_at = section.file if section.file.exists() else section.file.parent
        if os.access(looked_at, os.W_OK):
            yield ok(_WHAT, f"messages are appended to {section.file}")
        else:
            yield failed(_WHAT, f"{looked_at} cannot be written to by this user", "let the node's user own it")
    if section.syslog_host:
        yield _repository(settings)


def _repository(settings: Settings) -> Check:
    section = settings.audit
    where = f"{section.syslog_host}:{section.syslog_port}"
    try:
        tls = client(settings.tls, ca=section.syslog_ca)
        with (
            socket.create_connection(
                (section.syslog_host, section.syslog_port), timeout=settings.deliver.connect_timeout
            ) as plain,
            tls.wrap_socket(plain, server_hostname=section.syslog_host) as wrapped,
        ):
            version = wrapped.version()
    except (ConfigurationError, OSError) as error:
        return failed(_WHAT, f"the repository at {where} cannot be spoken with over TLS ({error})", _WAITS)
    return ok(_WHAT, f"the repository at {where} takes messages over {version}")
