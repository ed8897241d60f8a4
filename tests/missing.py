"""Says which tests will be left out on this machine, and the one command that brings what they need."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from conftest import DATA

#: where orthanc-test/ohif.py unpacks the viewer
VIEWER = Path(__file__).parents[1] / "orthanc-test" / ".ohif"
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
    (
        "Orthanc's Python plugin",
        "orthanc-python",
        lambda: Path("/usr/share/orthanc/plugins/libOrthancPython.so").exists(),
    ),
    ("PostgreSQL", "postgresql", lambda: any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))),
    ("TLS, with certificates of their own", "openssl", lambda: shutil.which("openssl")),
    ("a small disk that fills", "e2fsprogs", lambda: shutil.which("mkfs.ext4")),
    ("systemd's opinion of the unit", "systemd", lambda: shutil.which("systemd-analyze")),
    ("strace, for the order of law 1 and for kills at system calls", "strace", lambda: shutil.which("strace")),
    ("OHIF in a browser", "chromium", lambda: shutil.which("chromium")),
)


def main() -> None:
    absent = [(what, package) for what, package, there in PEERS if not there()]
    for what, package in absent:
        print(f"tests against {what} are left out: Debian's package {package} is not installed")
    if absent:
        print("to bring them: apt-get install -y --no-install-recommends " + " ".join(package for _, package in absent))
    if not any(VIEWER.glob("*/index.html")):
        print("tests against OHIF are left out: .venv/bin/python orthanc-test/ohif.py brings it with npm (48 MB)")
    if find_spec("torchxrayvision") is None:
        print("the test on VinDr-CXR's published table is left out: pip install --no-deps torchxrayvision brings it")
    if not DATA.is_dir():
        print(f"tests on real X-rays are left out: {DATA} is not there (CHEXNODE_DATA names another folder)")


if __name__ == "__main__":
    main()
