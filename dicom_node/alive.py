"""What every role does besides its work: signs of life in the ledger, and waking up to stop."""

import os
import socket
import threading
import time

from dicom_node import __version__
from dicom_node.config import Role
from dicom_node.ledger import Ledger, Listener, processes

#: seconds between two signs of life
HEARTBEAT = 30.0


def say_alive(ledger: Ledger, role: Role) -> None:
    """Note that this process lives, for `status` and `doctor`. Raises what Ledger does."""
    with ledger.transaction() as tx:
        processes.heartbeat(
            tx,
            role=role.value,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            now=time.time(),
        )


def wake_at(stop: threading.Event, listener: Listener) -> None:
    """End `listener`'s wait once `stop` is set."""

    def wait() -> None:
        stop.wait()
        listener.wake()

    threading.Thread(target=wait, name="stop", daemon=True).start()
