"""The doctor: looks at everything that the node needs, one thing after the other, and says what to do.

check    what one look says          host     disk, clocks       model    weights, device
setup    the configuration           node     ledger, roles, queues      peers    C-ECHO of each
certificates    TLS: what ends when         audit    the places of the audit trail

`room` tells how long the disk lasts; `bundle` is for whoever helps from outside.

handshake tries one destination with the study of `specimen`; `readback` asks for it, `comparison` tells what came back,
`sheet` writes it down.
"""

from collections.abc import Iterator
from pathlib import Path

from dicom_node.config import load_settings
from dicom_node.doctor import audit, certificates, host, model, node, peers, room, setup
from dicom_node.doctor.check import Check, Health, failed, passed
from dicom_node.errors import ConfigurationError

__all__ = ["Check", "Health", "examine", "passed"]


def examine(config: Path) -> Iterator[Check]:
    """Every check, each as soon as it is made; without a usable configuration that is the only one."""
    try:
        settings = load_settings(config)
    except ConfigurationError as error:
        yield failed("configuration", str(error), f"mend it, or let `chexnode init --config {config} --force` write it")
        return
    yield from setup.checks(config, settings)
    yield from host.checks(settings)
    yield from node.checks(settings)
    yield from room.checks(settings)
    yield from model.checks(settings)
    yield from certificates.checks(settings)
    yield from audit.checks(settings)
    yield from peers.checks(settings)
