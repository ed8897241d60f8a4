"""Whole associations with bytes changed: the server answers, aborts or hangs up, and goes on serving others."""

import random
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from dicom_node.dimse.association import echo
from tests import datasets
from tests.dimse.conftest import Peer
from tests.dimse.raw import associate_request, p_data, store_command
from tests.peers import LOOPBACK

DX = DigitalXRayImageStorageForPresentation
REQUEST = associate_request([(DX, ExplicitVRLittleEndian), ("1.2.840.10008.1.1", ExplicitVRLittleEndian)])
MESSAGES = (
    p_data(1, 3, store_command(DX, "1.2.3"))
    + p_data(1, 0, datasets.data_set_bytes(datasets.chest(8, 8)))
    + p_data(1, 2, b"\0\0")
    + bytes.fromhex("050000000004 00000000")
)


def _mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(changed))
        match chance.randrange(3):
            case 0:
                changed[at] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
            case 1:
                del changed[at : at + chance.randrange(1, 20)]
            case _:
                changed[at:at] = changed[at : at + chance.randrange(1, 50)]
    return bytes(changed)


# pydicom warns of a UID that is none; the node's processes ignore warnings, pytest makes them errors
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), in_request=st.booleans())
def test_mutated_associations(serve_once: Peer, seed: int, in_request: bool) -> None:
    chance = random.Random(seed)
    request = _mutated(REQUEST, chance) if in_request else REQUEST
    with socket.create_connection((LOOPBACK, serve_once.port), timeout=10) as peer:
        try:
            peer.sendall(request)
            peer.sendall(MESSAGES if in_request else _mutated(MESSAGES, chance))
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass
        except TimeoutError as error:
            raise AssertionError("the server neither answers nor hangs up") from error
        except OSError:
            pass  # it hung up while we were still talking
    assert serve_once.failures() == [], "a failure that nobody foresaw would be logged with its frames"
    echo(LOOPBACK, serve_once.port, called="CHEXNODE", calling="HONEST")
