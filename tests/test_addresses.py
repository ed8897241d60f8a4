"""Which addresses and secrets of a DICOMweb destination the configuration takes."""

from typing import Any

import pytest
from pydantic import ValidationError

from dicom_node.addresses import is_loopback, may_carry_secrets, require_service_url
from dicom_node.peer import PeerSection

URL = "https://pacs.example.org:8443/dicom-web"


def section(**settings: Any) -> PeerSection:
    return PeerSection.model_validate({"name": "web", "mode": "send", "transport": "stow-rs", **settings})


def test_a_destination_by_stow_needs_its_address_and_no_ae_title() -> None:
    assert section(dicomweb_url=f"{URL}/").dicomweb_url == URL


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "has no dicomweb_url"),
        ({"dicomweb_url": URL, "transport": "c-store"}, "has no host"),
        ({"dicomweb_url": URL, "host": "10.0.0.5"}, "has no ae_title"),
        ({"dicomweb_url": "pacs.example.org"}, "give an address such as"),
        ({"dicomweb_url": "ftp://pacs.example.org"}, "give an address such as"),
        ({"dicomweb_url": "https://pacs.example.org:port"}, "Port could not be cast"),
        ({"dicomweb_url": "https://user:secret@pacs.example.org"}, "no user or password in the address"),
        ({"dicomweb_url": f"{URL}?key=1"}, "ends with its path"),
        ({"dicomweb_url": URL, "dicomweb_authentication": "bearer"}, "needs dicomweb_secret"),
        ({"dicomweb_url": URL, "dicomweb_authentication": "bearer", "dicomweb_secret": "hunter2"}, "env:NAME or file"),
        ({"dicomweb_url": URL, "dicomweb_authentication": "basic", "dicomweb_secret": "env:X"}, "needs dicomweb_user"),
        (
            {"dicomweb_url": "http://10.0.0.5", "dicomweb_authentication": "bearer", "dicomweb_secret": "env:X"},
            "must be https",
        ),
        ({"dicomweb_url": URL, "dicomweb_key": "key.pem"}, "without dicomweb_certificate"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        section(**settings)


def test_secrets_travel_encrypted_or_not_at_all() -> None:
    assert may_carry_secrets("https://10.0.0.5/rs")
    assert may_carry_secrets("http://127.0.0.1:8042/dicom-web")
    assert not may_carry_secrets("http://10.0.0.5/rs")


@pytest.mark.parametrize(
    ("host", "here"), [("127.0.0.9", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("pacs", False)]
)
def test_what_is_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) is here


def test_an_address_without_a_host_is_none() -> None:
    with pytest.raises(ValueError, match="such as"):
        require_service_url("https:///dicom-web")
