"""Debian's Orthanc as a test peer: started with the configuration beside this file, asked over REST and DICOMweb."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO

from tests.peers import free_port
from tests.waiting import wait_for

HERE = Path(__file__).parent
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
INSTALL = "apt-get install -y --no-install-recommends orthanc orthanc-dicomweb dcmtk"


class Orthanc:
    """One Orthanc on loopback; its storage outlives `stop` and `start`."""

    ae_title = "ORTHANC"

    def __init__(
        self, folder: Path, node_port: int, *, routes: bool = True, syntaxes: Sequence[str] | None = None
    ) -> None:
        """`routes`: it sends every study to the node by itself. `syntaxes`: it accepts these alone; None: all."""
        if shutil.which("Orthanc") is None or not DICOMWEB.exists():
            pytest.skip(f"Debian's Orthanc and its DICOMweb plugin are not installed: {INSTALL}")
        folder.mkdir(parents=True, exist_ok=True)
        self.dicom_port, self.http_port = free_port(), free_port()
        self._log = folder / "orthanc.log"
        self._configuration = folder / "orthanc.json"
        values = {
            "FOLDER": folder,
            "DICOMWEB": DICOMWEB,
            "LUA": json.dumps([str(HERE / "route.lua")] if routes else []),
            "DICOM_PORT": self.dicom_port,
            "HTTP_PORT": self.http_port,
            "NODE_PORT": node_port,
        }
        text = (HERE / "orthanc.json").read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        configuration = json.loads(text)
        if syntaxes is not None:
            configuration["AcceptedTransferSyntaxes"] = list(syntaxes)
        self._configuration.write_text(json.dumps(configuration, indent=1))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(["Orthanc", str(self._configuration)], stdout=log, stderr=log)
        wait_for("Orthanc to answer over REST", self._answers, seconds=30)

    def stop(self) -> None:
        """End it as an administrator would; nothing happens where it does not run."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    def _answers(self) -> bool:
        try:
            return bool(self.get("/system"))
        except (URLError, ConnectionError):
            return False

    def _ask(self, path: str, data: bytes | None = None, method: str | None = None, **headers: str) -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}{path}", data=data, method=method, headers=headers
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return bytes(response.read())

    def get(self, path: str) -> Any:
        """JSON of the REST interface, or of DICOMweb."""
        return json.loads(self._ask(path, Accept="application/json"))

    def upload(self, dataset: Dataset) -> None:
        """Store a data set over REST, as a modality's images would stand there."""
        buffer = DicomBytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        self._ask("/instances", data=buffer.getvalue())

    def upload_file(self, path: Path) -> None:
        """Store a file over REST."""
        self._ask("/instances", data=path.read_bytes())

    def delete_study(self, study_instance_uid: str) -> None:
        """Remove a study, whatever its patient."""
        for identifier in self._find({"StudyInstanceUID": study_instance_uid}):
            self._ask(f"/studies/{identifier}", method="DELETE")

    def modify_study(self, study_instance_uid: str, **replaced: str) -> None:
        """Have Orthanc change a study (POST /studies/{id}/modify), at once: under new UIDs; the one before goes."""
        (identifier,) = self._find({"StudyInstanceUID": study_instance_uid})
        wanted = {"Replace": replaced, "KeepSource": False, "Force": True, "Synchronous": True}
        self._ask(f"/studies/{identifier}/modify", json.dumps(wanted).encode())

    def move_instances(self, study_instance_uid: str, **replaced: str) -> None:
        """Have Orthanc change each instance of a study (POST /instances/{id}/modify), whose SOP Instance UID stays."""
        (identifier,) = self._find({"StudyInstanceUID": study_instance_uid})
        wanted = {"Replace": replaced, "Keep": ["SOPInstanceUID"], "Force": True}
        files = [
            self._ask(f"/instances/{instance['ID']}/modify", json.dumps(wanted).encode())
            for instance in self.get(f"/studies/{identifier}/instances")
        ]
        self.delete_study(study_instance_uid)
        for file in files:
            self._ask("/instances", data=file)

    def merge_study(self, study_instance_uid: str, *, into: str) -> None:
        """Have Orthanc move a study's series into another one, at once; the one before goes."""
        (identifier,) = self._find({"StudyInstanceUID": study_instance_uid})
        (target,) = self._find({"StudyInstanceUID": into})
        wanted = {"Resources": [identifier], "KeepSource": False, "Synchronous": True}
        self._ask(f"/studies/{target}/merge", json.dumps(wanted).encode())

    def has_study(self, study_instance_uid: str) -> bool:
        """Whether there is such a study."""
        return bool(self._find({"StudyInstanceUID": study_instance_uid}))

    def _find(self, query: dict[str, str]) -> list[str]:
        return list(json.loads(self._ask("/tools/find", json.dumps({"Level": "Study", "Query": query}).encode())))

    def instances(self, study_instance_uid: str) -> list[Dataset]:
        """Every object of a study, as its DICOMweb gives it (WADO-RS), pixels included."""
        try:
            found = self.get(f"/dicom-web/studies/{study_instance_uid}/instances?includefield=00080016")
        except HTTPError as error:
            if error.code == 404:
                return []
            raise
        uids = [(item["0020000E"]["Value"][0], item["00080018"]["Value"][0]) for item in found]
        return [self._retrieve(study_instance_uid, series, instance) for series, instance in uids]

    def _retrieve(self, study: str, series: str, instance: str) -> Dataset:
        answer = self._ask(
            f"/dicom-web/studies/{study}/series/{series}/instances/{instance}",
            Accept="multipart/related; type=application/dicom; transfer-syntax=*",
        )
        start = answer.index(b"\r\n\r\n") + 4
        end = answer.rindex(b"\r\n--")
        return dcmread(DicomBytesIO(answer[start:end]))

    def route_again(self, study_instance_uid: str) -> None:
        """Send a study to the node once more, as an administrator would after an outage."""
        for identifier in self._find({"StudyInstanceUID": study_instance_uid}):
            self._ask("/modalities/chexnode/store", json.dumps({"Resources": [identifier]}).encode())

    def failed_jobs(self) -> list[dict[str, Any]]:
        """Jobs of Orthanc's own (its auto-routing among them) that ended in failure."""
        return [job for job in self.get("/jobs?expand") if job["State"] == "Failure"]

    def log(self) -> str:
        return self._log.read_text(errors="replace")


if __name__ == "__main__":
    orthanc = Orthanc(Path(sys.argv[1]), node_port=11112)
    orthanc.start()
    print(f"Orthanc: AE {orthanc.ae_title}, DICOM port {orthanc.dicom_port}, http://127.0.0.1:{orthanc.http_port}")
    try:
        input("Enter ends it. ")
    finally:
        orthanc.stop()
