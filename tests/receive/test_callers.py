"""Who may send: by address before anything is read, by AE title and address together after."""

import contextlib
import socket

import pytest

from dicom_node.config import PeerSection
from dicom_node.dimse.requests import CALLED_NOT_RECOGNISED, CALLING_NOT_RECOGNISED, AssociationRequest
from dicom_node.domain import Mode
from dicom_node.receive.callers import Callers
from tests.dimse.raw import RawSender, associate_request, rejection
from tests.receive.conftest import Receiver, Start


def _peer(name: str, ae_title: str, *allow_from: str, sends: bool = True, host: str = "127.0.0.1") -> PeerSection:
    return PeerSection(
        name=name, ae_title=ae_title, host=host, sends=sends, allow_from=allow_from, results_to=("x",), mode=Mode.SEND
    )


CALLERS = Callers(
    (
        _peer("pacs", "PACS", "10.1.0.0/16", "2001:db8::/32"),
        _peer("room", "ROOM1", "10.2.0.7"),
        _peer("host", "BYHOST", host="127.0.0.9"),
        _peer("archive", "ARCHIVE", "10.9.0.0/16", sends=False),
        _peer("gone", "GONE", host="no-such-host.invalid"),
    ),
    ae_title="CHEXNODE",
)


def _asked(calling: str, address: str, called: str = "CHEXNODE") -> AssociationRequest:
    return AssociationRequest(address=address, calling_ae_title=calling, called_ae_title=called)


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "10.2.0.7", "127.0.0.9", "2001:db8::1", "::ffff:10.1.2.3", "2001:db8::1%eth0"]
)
def test_addresses_that_any_sender_may_call_from(address: str) -> None:
    assert CALLERS.admits(address)


@pytest.mark.parametrize("address", ["10.3.0.1", "10.2.0.8", "127.0.0.1", "2001:db9::1", "10.9.0.1", "::ffff:10.3.0.1"])
def test_addresses_that_none_may(address: str) -> None:
    assert not CALLERS.admits(address)


def test_an_ae_title_is_bound_to_its_addresses() -> None:
    assert CALLERS.judge(_asked("PACS", "10.1.2.3")) is None
    assert CALLERS.judge(_asked("ROOM1", "10.2.0.7")) is None
    assert CALLERS.judge(_asked("PACS", "10.2.0.7")) is CALLING_NOT_RECOGNISED
    assert CALLERS.judge(_asked("ARCHIVE", "10.9.0.1")) is CALLING_NOT_RECOGNISED
    assert CALLERS.judge(_asked("pacs", "10.1.2.3")) is CALLING_NOT_RECOGNISED
    assert CALLERS.judge(_asked("PACS", "10.1.2.3", called="OTHER")) is CALLED_NOT_RECOGNISED


@pytest.mark.parametrize(
    ("calling", "called", "diagnostic"),
    [("STRANGER", "CHEXNODE", 3), ("SENDER", "OTHER", 7), ("sender", "CHEXNODE", 3)],
)
def test_over_the_wire_they_are_rejected_for_good(
    receiver: Receiver, calling: str, called: str, diagnostic: int
) -> None:
    request = associate_request([("1.2.840.10008.1.1", "1.2.840.10008.1.2")], calling=calling, called=called)
    assert rejection(receiver.port, request) == (1, 1, diagnostic)


def test_an_address_that_is_not_allowed_gets_no_answer(start: Start) -> None:
    receiver = start(peers=(_peer("pacs", "SENDER", "127.0.0.77"),))
    with (
        socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as stranger,
        contextlib.suppress(ConnectionError),
    ):
        stranger.sendall(associate_request([("1.2.840.10008.1.1", "1.2.840.10008.1.2")]))
        assert stranger.recv(1) == b""
    with RawSender(receiver.port, [("1.2.840.10008.1.1", "1.2.840.10008.1.2")], source="127.0.0.77") as allowed:
        assert allowed.accepted
