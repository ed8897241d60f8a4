"""STOW-RS of frozen bytes to a real HTTP service, and what its answers mean."""

import http.server
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_node.deliver.destination import Outcome, Verdict
from dicom_node.deliver.stow import StowDestination
from dicom_node.domain import Kind
from dicom_node.ledger.rows import StoredResult
from dicom_node.peer import PeerSection
from tests.deliver.node import Node, settings_of
from tests.deliver.test_role import all_stored, delivering
from tests.deliver.web import Reply, StoreService
from tests.peers import free_port, program
from tests.waiting import wait_for

STUDY = "1.2.3"
REFUSED, RETRY, STORED, UNTRIED = Verdict.REFUSED, Verdict.RETRY, Verdict.STORED, Verdict.UNTRIED


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path))
    yield node
    node.close()


def peer(url: str, **more: Any) -> dict[str, Any]:
    return {"name": "web", "mode": "send", "transport": "stow-rs", "dicomweb_url": url, **more}


def send(node: Node, url: str, *results: StoredResult, **more: Any) -> list[Outcome]:
    section = PeerSection.model_validate(peer(url, **more))
    destination = StowDestination(section, connect_timeout=2, response_timeout=1, spool=node.spool)
    return list(destination.send(results))


def verdicts(outcomes: list[Outcome]) -> list[Verdict]:
    return [outcome.verdict for outcome in outcomes]


def test_every_result_arrives_octet_for_octet(node: Node) -> None:
    results = [node.result(STUDY), node.result(STUDY, Kind.SEG), node.result(STUDY, rows=40000)]
    with StoreService() as service:
        assert verdicts(send(node, service.url, *results)) == [STORED] * 3
    for result in results:
        assert service.kept[result.sop_instance_uid] == node.spool.read(result.spool_key)
    assert all(int(request["content-length"]) > 3000 for request in service.requests)
    assert service.requests[0]["host"] == f"127.0.0.1:{service.port}"


@pytest.mark.parametrize(
    ("reply", "expected", "said"),
    [
        (Reply(status=409, failure=0x0122), REFUSED, "0122 (SOP class not supported)"),
        (Reply(status=409, failure=0xA900), REFUSED, "A900"),
        (Reply(status=409, failure=0xC122), REFUSED, "C122"),
        (Reply(status=409, failure=0xA700), RETRY, "A700"),
        (Reply(status=409, failure=0x0110), RETRY, "0110"),
        (Reply(status=409, failure=0x0111), STORED, "has it already"),
        (Reply(status=202, failure=0xA700), RETRY, "A700"),
        (Reply(status=409, failure=0), REFUSED, "gave no reason"),
        (Reply(status=409, body=b""), REFUSED, "409 Conflict"),
        (Reply(status=400, body=b"Petra^Muster is unknown", content_type="text/plain"), REFUSED, "400 Bad Request"),
        (Reply(status=413, body=b""), REFUSED, "413"),
        (Reply(status=415, body=b""), REFUSED, "415"),
        (Reply(status=401, body=b""), RETRY, "check dicomweb_authentication"),
        (Reply(status=403, body=b""), RETRY, "must let this user store"),
        (Reply(status=404, body=b""), RETRY, "is dicomweb_url right?"),
        (Reply(status=429, body=b""), RETRY, "429"),
        (Reply(status=500, body=b""), RETRY, "500"),
        (Reply(status=503, body=b""), RETRY, "503 Service Unavailable"),
        (Reply(status=200, body=b"<html>Please log in</html>", content_type="text/html"), RETRY, "does not say"),
        (Reply(status=200, body=b""), RETRY, "does not say"),
        (Reply(status=200, body=b"[" * 100_000), RETRY, ""),
        (Reply(status=200, body=b"{" + b" " * (2 << 20)), RETRY, "more than"),
        (Reply(status=302, body=b"", headers={"Location": "/login"}), RETRY, "sends us elsewhere"),
    ],
    ids=lambda value: f"{value.status}-{value.failure}" if isinstance(value, Reply) else "",
)
def test_what_an_answer_means(node: Node, reply: Reply, expected: Verdict, said: str) -> None:
    with StoreService(reply) as service:
        (outcome,) = send(node, service.url, node.result(STUDY))
    assert outcome.verdict is expected
    assert said in outcome.detail
    assert "Petra" not in outcome.detail
    assert service.kept == {}


def test_one_bad_object_fails_none_beside_it(node: Node) -> None:
    results = [node.result(STUDY) for _ in range(3)]
    with StoreService(Reply(), Reply(status=409, failure=0xA900)) as service:
        assert verdicts(send(node, service.url, *results)) == [STORED, REFUSED, STORED]


def test_a_service_that_turns_us_away_is_left_alone(node: Node) -> None:
    results = [node.result(STUDY) for _ in range(3)]
    with StoreService(Reply(status=503, body=b"")) as service:
        assert verdicts(send(node, service.url, *results)) == [RETRY, UNTRIED, UNTRIED]
    assert len(service.requests) == 1


def test_an_answer_in_xml(node: Node) -> None:
    first, second = node.result(STUDY), node.result(STUDY)
    with StoreService(_xml(first, None), _xml(second, 0xA900)) as service:
        outcomes = send(node, service.url, first, second)
    assert verdicts(outcomes) == [STORED, REFUSED]


def _xml(result: StoredResult, failure: int | None) -> Reply:
    tag = "00081199" if failure is None else "00081198"
    reason = (
        "" if failure is None else f'<DicomAttribute tag="00081197" vr="US"><Value>{failure}</Value></DicomAttribute>'
    )
    body = (
        f'<NativeDicomModel><DicomAttribute tag="{tag}" vr="SQ"><Item number="1"><DicomAttribute tag="00081155" '
        f'vr="UI"><Value number="1">{result.sop_instance_uid}</Value></DicomAttribute>{reason}</Item></DicomAttribute>'
        "</NativeDicomModel>"
    )
    return Reply(body=body.encode(), content_type="application/dicom+xml; charset=utf-8")


_KEYS = st.sampled_from(("00081198", "00081199", "00081155", "00081197", "Value", "vr"))
_ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("00081198", "00081199", "00081155", "00081197", "Value", "vr")), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=_ODD, status=st.sampled_from((200, 202, 409, 500)))
def test_no_answer_however_odd_is_taken_for_a_store(node: Node, answer: object, status: int) -> None:
    with StoreService(Reply(status=status, body=json.dumps(answer).encode())) as service:
        (outcome,) = send(node, service.url, node.result(STUDY))
    assert outcome.verdict in (RETRY, REFUSED)
    assert str(status) in outcome.detail


def test_nobody_at_the_address_is_tried_again(node: Node) -> None:
    outcomes = send(node, f"http://127.0.0.1:{free_port()}/dicom-web", node.result(STUDY), node.result(STUDY))
    assert verdicts(outcomes) == [RETRY] * 2
    assert "Connection refused" in outcomes[0].detail


def test_a_service_that_does_not_answer_is_given_up_in_time(node: Node) -> None:
    with StoreService(Reply(stall=True)) as service:
        assert verdicts(send(node, service.url, node.result(STUDY), node.result(STUDY))) == [RETRY] * 2


def test_a_service_whose_answer_trickles_is_given_up_in_time(node: Node) -> None:
    with StoreService(Reply(trickle=True)) as service:
        (outcome,) = send(node, service.url, node.result(STUDY))
    assert outcome.verdict is RETRY
    assert "takes too long" in outcome.detail


def test_results_arrive_once_though_the_answer_was_lost(tmp_path: Path) -> None:
    with StoreService(Reply(drop=True), Reply(status=503, body=b"")) as service:
        node = Node(settings_of(tmp_path, peer(service.url)))
        try:
            uids = node.queue("web", *(node.result(STUDY) for _ in range(3)))
            with delivering(node.settings):
                wait_for("delivery", lambda: all_stored(node, "web"))
        finally:
            node.close()
    assert sorted(service.kept) == sorted(uids)
    # the answer to the first was lost; which one met the 503 is chance
    assert sum(service.came.values()) == 5


def test_basic_authentication_from_the_environment(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_PASSWORD", "geheim wörtlich")
    basic = {"dicomweb_authentication": "basic", "dicomweb_user": "node", "dicomweb_secret": "env:PACS_PASSWORD"}
    with StoreService() as service:
        assert verdicts(send(node, service.url, node.result(STUDY), **basic)) == [STORED]
    assert service.requests[0]["authorization"] == "Basic bm9kZTpnZWhlaW0gd8O2cnRsaWNo"


def test_a_bearer_token_from_a_file_that_is_replaced(node: Node, tmp_path: Path) -> None:
    token = tmp_path / "token"
    bearer = {"dicomweb_authentication": "bearer", "dicomweb_secret": f"file:{token}"}
    with StoreService() as service:
        for text in ("first", "second"):
            token.write_text(f"{text}\n")
            assert verdicts(send(node, service.url, node.result(STUDY), **bearer)) == [STORED]
    assert [request["authorization"] for request in service.requests] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), ("", "no password and no token"), ("a\nb", "several lines")]
)
def test_a_secret_that_is_none_is_named_and_never_shown(
    node: Node, tmp_path: Path, content: str | None, said: str
) -> None:
    secret = tmp_path / "token"
    if content is not None:
        secret.write_text(content)
    with StoreService() as service:
        (outcome,) = send(
            node,
            service.url,
            node.result(STUDY),
            dicomweb_authentication="bearer",
            dicomweb_secret=f"file:{secret}",
        )
    assert outcome.verdict is RETRY
    assert f"peers.web.dicomweb_secret: {said}" in outcome.detail or said in outcome.detail
    assert "a\nb" not in outcome.detail
    assert service.requests == []


def test_a_proxy_of_the_environment_is_not_used_on_loopback(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with StoreService() as service:
        assert verdicts(send(node, service.url, node.result(STUDY))) == [STORED]


def test_a_proxy_of_the_environment_is_used_elsewhere(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(self.path)
            self.send_error(503)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with http.server.HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.handle_request)
        thread.start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
        assert verdicts(send(node, "http://pacs.invalid/rs", node.result(STUDY))) == [RETRY]
        thread.join()
    assert seen == ["http://pacs.invalid/rs/studies"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1 that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=CHEXNODE", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return key, certificate


@pytest.mark.peer
def test_tls_is_verified_and_the_client_shows_its_certificate(node: Node, certificates: tuple[Path, Path]) -> None:
    key, certificate = certificates
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    trusting = {"dicomweb_ca": certificate}
    known = {"dicomweb_certificate": certificate, "dicomweb_key": key}
    with StoreService(tls=context) as service:
        assert verdicts(send(node, service.url, node.result(STUDY), **trusting, **known)) == [STORED]
        (stranger,) = send(node, service.url, node.result(STUDY), **trusting)
        (distrusted,) = send(node, service.url, node.result(STUDY), **known)
    assert (stranger.verdict, distrusted.verdict) == (RETRY, RETRY)
    assert "check dicomweb_ca" in distrusted.detail
    assert "certificate verify failed" in distrusted.detail
    assert len(service.kept) == 1
