"""What tests of the server ask beside a hostile peer: is it hung up on, is an honest one served?"""

import socket

from dicom_node.dimse.association import echo
from tests.peers import LOOPBACK


def honest_echo(port: int) -> float:
    """The seconds of the best of three: the machine that tests run on is busy with other things."""
    return min(echo(LOOPBACK, port, called="CHEXNODE", calling="HONEST") for _ in range(3))


def closed(connection: socket.socket, seconds: float = 10.0) -> bool:
    """Whether the server ends the connection in time, whatever it says before."""
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
