"""When certificates end: read from real ones, and said in time."""

import base64
import subprocess
import time
from pathlib import Path

import pytest

from dicom_node.certificates import ends_soon, own, validities
from dicom_node.errors import ConfigurationError
from dicom_node.security import TLSSection
from tests.peers import program
from tests.pki import Authority

DAY = 86400.0


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize("days", [1, 400, 20_000])
def test_the_end_is_what_openssl_reads(hospital: Authority, days: int) -> None:
    """20,000 days: past 2049, where the time is written in another form (RFC 5280 4.1.2.5)."""
    path = hospital.issue("X", days=days).certificate
    said = subprocess.run(
        [program("openssl"), "x509", "-in", str(path), "-noout", "-enddate", "-dateopt", "iso_8601"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (found,) = validities(path)
    assert time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(found.ends)) in said


def test_every_certificate_of_a_file_counts(hospital: Authority, tmp_path: Path) -> None:
    chain = tmp_path / "chain.pem"
    chain.write_text(hospital.issue("X", days=2).certificate.read_text() + hospital.certificate.read_text())
    first, second = validities(chain)
    assert (first.ordinal, second.ordinal) == (1, 2)
    assert second.ends - first.ends > 3000 * DAY


def test_what_ends_soon_or_has_ended_is_said(hospital: Authority) -> None:
    section = hospital.section(hospital.issue("X", days=100))
    end = own(section)[0].ends
    assert list(ends_soon(section, now=end - 31 * DAY)) == []
    (soon,) = ends_soon(section, now=end - 29.6 * DAY)
    assert soon.endswith("in 30 days")
    assert str(section.certificate) in soon
    (over,) = ends_soon(section, now=end + DAY)
    assert " ended on " in over


@pytest.mark.parametrize(
    "content",
    ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----\nMIIB\n"],
)
def test_a_file_that_holds_none_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.pem"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"x\.pem"):
        validities(path)
    (said,) = ends_soon(TLSSection(certificate=path))
    assert "x.pem" in said


def test_bytes_that_are_cut_off_anywhere_are_no_certificate(hospital: Authority, tmp_path: Path) -> None:
    """Its own reader of DER must not run past the end."""
    lines = hospital.issue("X").certificate.read_text().splitlines()[1:-1]
    whole = base64.b64decode("".join(lines))
    path = tmp_path / "cut.pem"
    for length in range(0, 200, 7):
        body = base64.b64encode(whole[:length]).decode()
        path.write_text(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        with pytest.raises(ConfigurationError):
            validities(path)
