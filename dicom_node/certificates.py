"""When certificates end: what `doctor`, `status` and the log say before it happens."""

import base64
import binascii
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dicom_node.errors import ConfigurationError
from dicom_node.security import TLSSection

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_DAY = 86400.0
#: tags of DER (X.690 8.1.2): SEQUENCE, the explicit version of a certificate, UTCTime, GeneralizedTime
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


@dataclass(frozen=True, kw_only=True)
class Validity:
    """Until when one certificate of a file is good."""

    path: Path
    #: its place in the file, from 1
    ordinal: int
    #: seconds since the epoch
    ends: float

    def says(self, *, now: float) -> str:
        """In words."""
        which = f"{self.path}" if self.ordinal == 1 else f"{self.path} (its certificate {self.ordinal})"
        return f"{which} {until(self.ends, now=now)}"


def until(ends: float, *, now: float) -> str:
    """When a certificate ends, in words; both are seconds since the epoch."""
    day = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%d")
    return f"ended on {day}" if ends < now else f"ends on {day}, in {(ends - now) / _DAY:.0f} days"


def validities(path: Path) -> list[Validity]:
    """Of every certificate in a PEM file. Raises ConfigurationError where it has none, or one that cannot be read."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror})") from error
    found = [part.partition(_END)[0] for part in text.split(_BEGIN)[1:]]
    if not found:
        raise ConfigurationError(f"{path} holds no certificate: it has no {_BEGIN}")
    try:
        return [
            Validity(path=path, ordinal=ordinal, ends=_not_after(base64.b64decode(body)))
            for ordinal, body in enumerate(found, 1)
        ]
    except (ValueError, IndexError, binascii.Error) as error:
        raise ConfigurationError(f"{path}: one of its certificates cannot be read") from error


def own(section: TLSSection) -> list[Validity]:
    """Of the node's own certificates and of those it believes. Raises ConfigurationError."""
    return [each for path in (section.certificate, section.ca) if path is not None for each in validities(path)]


def ends_soon(section: TLSSection, *, now: float | None = None) -> Iterator[str]:
    """What to say of each certificate that has ended or ends within `warn_before`, and of files that are no good."""
    moment = time.time() if now is None else now
    try:
        for each in own(section):
            if each.ends - moment < section.warn_before * _DAY:
                yield each.says(now=moment)
    except ConfigurationError as error:
        yield str(error)


def _not_after(der: bytes) -> float:
    """Validity.notAfter of a certificate (RFC 5280 4.1), seconds since the epoch. Raises ValueError, IndexError."""
    tag, start, _ = _element(der, 0)  # Certificate
    inner, at, _ = _element(der, start)  # TBSCertificate
    if tag != _SEQUENCE or inner != _SEQUENCE:
        raise ValueError("no certificate")
    tag, start, end = _element(der, at)
    fields = 3 if tag == _VERSION else 2  # after it: serial number, algorithm, issuer
    for _ in range(fields):
        _, start, end = _element(der, end)
    tag, start, _ = _element(der, end)
    if tag != _SEQUENCE:
        raise ValueError("no validity")
    _, _, end = _element(der, start)
    tag, start, end = _element(der, end)
    text = der[start:end].decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280 4.1.2.5.1: two digits of the year, 50 to 99 are of the century before
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, and where the contents of the element at `at` begin and end (X.690 8.1)."""
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(der[start : start + count])
        start += count
    if start + length > len(der):
        raise ValueError("it is cut off")
    return tag, start, start + length
