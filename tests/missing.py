"""Says which tests will be left out on this machine, and the one command that brings what they need."""

import shutil
from pathlib import Path

from conftest import DATA

#: what a test may need, Debian's package for it, how to see that it is there
PEERS = (
    ("dcmtk's senders and receivers", "dcmtk", lambda: shutil.which("storescu")),
    ("dciodvfy, the validator", "dicom3tools", lambda: shutil.which("dciodvfy")),
    ("Orthanc", "orthanc", lambda: shutil.which("Orthanc")),
    (
        "Orthanc's DICOMweb",
        "orthanc-dicomweb",
        lambda: (
            any(Path("/usr/share/orthanc/plugins").glob("libOrthancDicomWeb*"))
            or any(Path("/usr/lib/orthanc").glob("**/libOrthancDicomWeb*"))
        ),
    ),
    ("PostgreSQL", "postgresql", lambda: any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))),
    ("TLS, with certificates of their own", "openssl", lambda: shutil.which("openssl")),
    ("strace, for the order of law 1", "strace", lambda: shutil.which("strace")),
)


def main() -> None:
    absent = [(what, package) for what, package, there in PEERS if not there()]
    for what, package in absent:
        print(f"tests against {what} are left out: Debian's package {package} is not installed")
    if absent:
        print("to bring them: apt-get install -y --no-install-recommends " + " ".join(package for _, package in absent))
    if not DATA.is_dir():
        print(f"tests on real X-rays are left out: {DATA} is not there (CHEXNODE_DATA names another folder)")


if __name__ == "__main__":
    main()
