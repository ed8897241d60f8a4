"""Certificates as a hospital's CA would give them out, made by openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from dicom_node.security import TLSSection
from tests.peers import program


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What one machine shows: PEM files with its certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A CA in a folder; each of its certificates has a key of its own (P-256)."""

    def __init__(self, folder: Path, name: str = "Hospital CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._made = 0
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            *("req", "-x509", *_NEW_KEY, "-days", "3650", "-subj", f"/CN={name}"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
            *("-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def issue(self, name: str, *, alternative: str = "IP:127.0.0.1,DNS:localhost", days: int = 365) -> Shown:
        """A certificate for common name `name`."""
        self._made += 1
        shown = Shown(
            certificate=self._folder / f"{self._made}.pem",
            key=self._folder / f"{self._made}.key",
        )
        request = self._folder / f"{self._made}.csr"
        extensions = self._folder / f"{self._made}.ext"
        extensions.write_text(f"basicConstraints=CA:FALSE\nsubjectAltName={alternative}\n")
        _openssl("req", "-new", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", str(shown.key), "-out", str(request))
        _openssl(
            *("x509", "-req", "-in", str(request), "-days", str(days), "-extfile", str(extensions)),
            *("-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial"),
            *("-out", str(shown.certificate)),
        )
        return shown

    def section(self, shown: Shown, *, receive: bool = True, mutual: bool = True) -> TLSSection:
        """The node's settings, with `shown` as what it shows."""
        return TLSSection(
            receive=receive, certificate=shown.certificate, key=shown.key, ca=self.certificate, mutual=mutual
        )


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def _openssl(*arguments: str) -> None:
    subprocess.run([program("openssl"), *arguments], check=True, capture_output=True)
