"""Addresses of HTTP services: what a setting may hold, and which lie on this machine. Standard library only."""

import ipaddress
from urllib.parse import urlsplit


def require_service_url(url: str) -> str:
    """`url` without a slash at its end. Raises ValueError for what is no plain http or https address.

    A user or a password in it would stand in every log and error message.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("give an address such as https://pacs.example.org/dicom-web")
    if "@" in parts.netloc:
        raise ValueError("no user or password in the address: set dicomweb_user and dicomweb_secret")
    if parts.query or parts.fragment:
        raise ValueError("the address of a service ends with its path: no ? and no #")
    _ = parts.port  # raises ValueError where it is none
    return url.rstrip("/")


def may_carry_secrets(url: str) -> bool:
    """Whether nobody on the way can read what is sent to `url`: it is encrypted, or it never leaves this machine."""
    return urlsplit(url).scheme == "https" or is_loopback(urlsplit(url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
