"""Who gets in over TLS, by which certificate and as which user: with dcmtk's programs and openssl as the other side."""

import os
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import Verification

from dicom_node.config import PeerSection, Settings, TLSSection
from dicom_node.dimse.peers import echo_peer
from dicom_node.domain import Mode
from dicom_node.errors import ConfigurationError, PeerUnavailable, Refused
from tests import datasets
from tests.dimse.raw import associate_request, rejection
from tests.peers import LOOPBACK, echoed, echoscu, program, storescu
from tests.pki import Authority, Shown
from tests.receive.conftest import Receiver, Start

_VERIFICATION = [("1.2.840.10008.1.1", "1.2.840.10008.1.2")]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def node_shows(hospital: Authority) -> Shown:
    return hospital.issue("CHEXNODE")


@pytest.fixture(scope="module")
def sender_shows(hospital: Authority) -> Shown:
    # no IP address: a peer is known by its host's, too, and here every host is this one
    return hospital.issue("SENDER", alternative="DNS:sender.hospital.example")


@pytest.fixture
def secure(start: Start, hospital: Authority, node_shows: Shown) -> Receiver:
    return start(peers=(_sender(),), tls=hospital.section(node_shows))


def _sender(**settings: Any) -> PeerSection:
    return PeerSection(
        **(
            {
                "name": "pacs",
                "ae_title": "SENDER",
                "sends": True,
                "allow_from": ("127.0.0.0/24",),
                "results_to": ("pacs",),
            }
            | settings
        )
    )


def _over(shown: Shown | None, hospital: Authority) -> list[str]:
    """dcmtk's options."""
    if shown is None:
        return ["+tla", "+cf", str(hospital.certificate)]
    return ["+tls", str(shown.key), str(shown.certificate), "+cf", str(hospital.certificate)]


def test_dcmtk_stores_over_tls(secure: Receiver, hospital: Authority, sender_shows: Shown, tmp_path: Path) -> None:
    dataset = datasets.chest()
    dataset.save_as(tmp_path / "chest.dcm", enforce_file_format=True)
    run = storescu(secure.port, tmp_path / "chest.dcm", options=[*_over(sender_shows, hospital), "-R"])
    assert run.returncode == 0, run.stdout
    assert datasets.data_set_bytes(dataset) in secure.kept(dataset)


def test_without_tls_or_without_a_certificate_nobody_gets_in(secure: Receiver, hospital: Authority) -> None:
    assert not echoed(echoscu(secure.port))
    assert not echoed(echoscu(secure.port, options=_over(None, hospital)))


def test_a_certificate_of_another_authority_is_not_believed(
    secure: Receiver, hospital: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "elsewhere", name="Another CA").issue("SENDER")
    assert not echoed(echoscu(secure.port, options=_over(stranger, hospital)))


def test_a_certificate_is_bound_to_its_calling_ae(secure: Receiver, hospital: Authority, sender_shows: Shown) -> None:
    other = hospital.issue("OTHER", alternative="DNS:other.hospital.example")
    refused = echoscu(secure.port, options=_over(other, hospital))
    assert not echoed(refused)
    assert "Calling AE Title Not Recognized" in refused.stdout
    assert echoed(echoscu(secure.port, options=_over(sender_shows, hospital)))


@pytest.mark.parametrize(
    ("bears", "alternative"),
    [("X", "DNS:Sender.Hospital.Example"), ("X", "IP:10.0.0.9"), ("modality-7", "DNS:other.example")],
)
def test_the_names_that_a_peer_s_certificate_may_bear(
    start: Start, hospital: Authority, node_shows: Shown, bears: str, alternative: str
) -> None:
    names = ("sender.hospital.example", "10.0.0.9", "modality-7")
    receiver = start(peers=(_sender(certificate_names=names),), tls=hospital.section(node_shows))
    assert echoed(echoscu(receiver.port, options=_over(hospital.issue(bears, alternative=alternative), hospital)))
    ae_title = hospital.issue("SENDER", alternative="DNS:elsewhere.example")
    assert not echoed(echoscu(receiver.port, options=_over(ae_title, hospital)))


def test_tls_without_mutual_authentication(start: Start, hospital: Authority, node_shows: Shown) -> None:
    receiver = start(peers=(_sender(),), tls=hospital.section(node_shows, mutual=False))
    assert echoed(echoscu(receiver.port, options=_over(None, hospital)))
    assert not echoed(echoscu(receiver.port))


@pytest.mark.parametrize(
    ("options", "taken"),
    [
        (["-tls1_3"], True),
        (["-tls1_2"], True),
        (["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], False),
        (["-tls1_2", "-cipher", "AES256-SHA256"], False),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"], False),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], True),
        (["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], True),
    ],
)
def test_versions_and_ciphers_are_those_of_bcp_195(
    secure: Receiver, hospital: Authority, sender_shows: Shown, options: list[str], taken: bool
) -> None:
    run = subprocess.run(
        [
            *(program("openssl"), "s_client", "-connect", f"{LOOPBACK}:{secure.port}", "-brief", *options),
            *("-CAfile", str(hospital.certificate), "-verify_return_error"),
            *("-cert", str(sender_shows.certificate), "-key", str(sender_shows.key)),
        ],
        input=b"",
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (b"CONNECTION ESTABLISHED" in run.stderr) is taken, run.stderr


def test_three_hundred_silent_tls_clients_hold_up_nobody(
    start: Start, hospital: Authority, node_shows: Shown, sender_shows: Shown
) -> None:
    receiver = start(peers=(_sender(),), tls=hospital.section(node_shows), io_timeout=60)
    silent = [socket.create_connection((LOOPBACK, receiver.port)) for _ in range(311)]
    try:
        for number, connection in enumerate(silent):
            connection.sendall(b"\x16\x03\x01\x02\x00"[: number % 6])
        assert echoed(echoscu(receiver.port, options=_over(sender_shows, hospital)))
    finally:
        for connection in silent:
            connection.close()


# ── renewed while associations are open ──────────────────────────────────────────────────────────────────────────────


def test_new_certificates_and_peers_drop_no_association(
    secure: Receiver, hospital: Authority, sender_shows: Shown, tmp_path: Path
) -> None:
    context = ssl.create_default_context(cafile=hospital.certificate)
    context.load_cert_chain(sender_shows.certificate, sender_shows.key)
    ae = AE("SENDER")
    ae.add_requested_context(Verification)
    opened = ae.associate(LOOPBACK, secure.port, ae_title="CHEXNODE", tls_args=(context, LOOPBACK))
    assert opened.is_established

    elsewhere = Authority(tmp_path / "next", name="Next year's CA")
    renewed = Settings(
        peers=(_sender(name="next", ae_title="NEXT", results_to=("archive",)), _archive()),
        tls=elsewhere.section(elsewhere.issue("CHEXNODE")),
    )
    secure.scp.renew(renewed)

    assert opened.send_c_echo().Status == 0x0000
    opened.release()
    assert not echoed(echoscu(secure.port, options=_over(sender_shows, hospital)))
    assert echoed(echoscu(secure.port, calling="NEXT", options=_over(elsewhere.issue("NEXT"), elsewhere)))


def test_certificates_that_do_not_hold_change_nothing(
    secure: Receiver, hospital: Authority, sender_shows: Shown, tmp_path: Path
) -> None:
    (tmp_path / "empty.pem").touch()
    broken = TLSSection(receive=True, certificate=tmp_path / "empty.pem", ca=hospital.certificate)
    with pytest.raises(ConfigurationError, match=r"tls.certificate"):
        secure.scp.renew(Settings(tls=broken))
    assert echoed(echoscu(secure.port, options=_over(sender_shows, hospital)))


def _archive() -> PeerSection:
    return PeerSection(name="archive", ae_title="ARCHIVE", host=LOOPBACK, mode=Mode.HOLD)


# ── users ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def with_user(start: Start, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("SENDERS_PASSCODE", "correct horse")
    return start(peers=(_sender(user="room1", user_secret="env:SENDERS_PASSCODE"),))


def _as_user(user: str, passcode: str = "", *, kind: int = 2, answer: bool = False) -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type = kind
    item.positive_response_requested = answer
    item.primary_field = user.encode()
    if kind == 2:
        item.secondary_field = passcode.encode()
    return item


def _confirmed(port: int, item: UserIdentityNegotiation) -> bool:
    """Whether stock pynetdicom is let in, and told that its user was believed."""
    ae = AE("SENDER")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    ae.add_requested_context(Verification)
    opened = ae.associate(LOOPBACK, port, ae_title="CHEXNODE", ext_neg=[item])
    assert opened.is_established
    told = opened.acceptor.user_identity is not None
    opened.release()
    return told


def test_the_right_user_gets_in_and_is_told_so_if_it_asks(with_user: Receiver) -> None:
    assert _confirmed(with_user.port, _as_user("room1", "correct horse", answer=True))
    assert not _confirmed(with_user.port, _as_user("room1", "correct horse"))


def test_a_user_that_nobody_asked_for_is_not_confirmed(receiver: Receiver) -> None:
    assert not _confirmed(receiver.port, _as_user("anybody", "anything", answer=True))


_WRONG = [
    [],
    [_as_user("room1", "wrong")],
    [_as_user("room2", "correct horse")],
    [_as_user("room1\0correct", "horse")],
    [_as_user("room1", kind=1)],
]


@pytest.mark.parametrize("items", _WRONG, ids=["none", "passcode", "user", "zero", "type"])
def test_every_other_user_is_rejected_for_good(with_user: Receiver, items: list[UserIdentityNegotiation]) -> None:
    assert rejection(with_user.port, associate_request(_VERIFICATION, items=items)) == (1, 1, 1)


def test_a_passcode_that_cannot_be_read_lets_nobody_in(with_user: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SENDERS_PASSCODE")
    request = associate_request(_VERIFICATION, items=[_as_user("room1", "correct horse")])
    assert rejection(with_user.port, request) == (1, 1, 1)


def test_the_node_calls_another_over_tls_and_as_a_user(
    start: Start, hospital: Authority, node_shows: Shown, sender_shows: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own two sides, one against the other."""
    monkeypatch.setenv("PASSCODE", "correct horse")
    receiver = start(peers=(_sender(user="room1", user_secret="env:PASSCODE"),), tls=hospital.section(node_shows))
    ours = hospital.section(sender_shows, receive=False)

    def peer(**settings: Any) -> PeerSection:
        return PeerSection(
            **(
                {"name": "archive", "ae_title": "CHEXNODE", "host": LOOPBACK, "port": receiver.port, "tls": True}
                | {"own_user": "room1", "own_user_secret": "env:PASSCODE"}
                | settings
            )
        )

    assert echo_peer(peer(), calling="SENDER", tls=ours) < 20
    assert echo_peer(peer(certificate_names=("CHEXNODE",)), calling="SENDER", tls=ours) < 20
    with pytest.raises(PeerUnavailable, match="names CHEXNODE, not ARCHIVE"):
        echo_peer(peer(certificate_names=("ARCHIVE",)), calling="SENDER", tls=ours)
    with pytest.raises(Refused):
        echo_peer(peer(own_user="", own_user_secret=""), calling="SENDER", tls=ours)
    monkeypatch.setenv("WRONG", os.urandom(8).hex())
    with pytest.raises(Refused):
        echo_peer(peer(own_user_secret="env:WRONG"), calling="SENDER", tls=ours)
    with pytest.raises(PeerUnavailable, match=r"peers.archive.own_user_secret"):
        echo_peer(peer(own_user_secret="env:MISSING_PASSCODE"), calling="SENDER", tls=ours)
