"""The SR before other programs: dciodvfy finds no error, dsrdump gives no warning, highdicom opens it.

Known limits of dicom3tools 2022-06-18: it knows the modules of Comprehensive SR and no templates, so it does not look
whether TID 1500 is followed; it calls Content Qualification and Request Attributes attributes beyond the IOD, which a
Standard Extended SOP Class may have (PS3.4 3.8.4), and such warnings are not judged; of a malformed value that a source
brought along, and that the result repeats on purpose, it complains. dsrdump of dcmtk 3.6.7 checks value types and
relationships against the IOD (PS3.3 A.35.3.3), no templates either; of each character set but ASCII and Latin-1 it says
that it cannot check texts in it, whatever object it stands in. That the templates are followed is what highdicom's
reader asks for: it looks for the groups of TID 1410 by concept and value type.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import highdicom.sr
import pytest

from dicom_node.domain import EncodedResult
from dicom_node.encode.sr_context import Fate
from tests.encode.reports import FINDINGS, PREDECESSOR, REPORT, REPORTED, one, report, reported, unread
from tests.encode.sources import MAKERS, SCRIPTS, bare, finding, full

#: what dsrdump says of character sets that it does not know
UNCHECKED = re.compile(
    r"W: (The VR checker does not support this|Reading unknown/unsupported) ?Specific ?Character ?Set"
)

STUDIES: Mapping[str, Callable[[], EncodedResult]] = {
    "one of everything": report,
    "nothing found": one,
    "no image read": lambda: report(unread(1, Fate.DECLINED, "lateral view")),
    "a later revision": lambda: report(context=replace(REPORT, revision=2, predecessors=(PREDECESSOR,))),
    "a whole film": lambda: one(finding(0, 0, 4300, 3500)),
    "no manufacturer": lambda: one(*FINDINGS, of=full(Manufacturer=None)),
    **{f"{maker} that says everything": partial(lambda m: one(*FINDINGS, of=full(m)), maker) for maker in MAKERS},
    **{f"{maker} that says nothing": partial(lambda m: one(*FINDINGS, of=bare(m)), maker) for maker in MAKERS},
    **{f"{script} name": partial(lambda s: one(*FINDINGS, of=full(script=s)), script) for script in SCRIPTS},
    **{f"for {profile}": partial(lambda p: report(reported(), profile=p), profile) for profile in REPORTED},
}


def said_by(program: str, result: EncodedResult, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "report.dcm"
    path.write_bytes(result.data)
    return subprocess.run([program, str(path)], capture_output=True, text=True, check=False, errors="replace")


@pytest.mark.peer
@pytest.mark.skipif(
    shutil.which("dciodvfy") is None,
    reason="dciodvfy is not installed: apt-get install --no-install-recommends dicom3tools",
)
@pytest.mark.parametrize("study", STUDIES)
def test_dciodvfy_finds_no_error(study: str, tmp_path: Path) -> None:
    said = said_by("dciodvfy", STUDIES[study](), tmp_path)
    assert "ComprehensiveSR" in said.stderr.splitlines()
    assert [line for line in said.stderr.splitlines() if line.startswith("Error")] == []


@pytest.mark.peer
@pytest.mark.skipif(
    shutil.which("dsrdump") is None, reason="dsrdump is not installed: apt-get install --no-install-recommends dcmtk"
)
@pytest.mark.parametrize("study", STUDIES)
def test_dsrdump_reads_it_without_a_warning(study: str, tmp_path: Path) -> None:
    said = said_by("dsrdump", STUDIES[study](), tmp_path)
    assert said.returncode == 0
    assert [line for line in said.stderr.splitlines() if not UNCHECKED.match(line)] == []
    assert "RESEARCH USE ONLY" in said.stdout


@pytest.mark.peer
@pytest.mark.skipif(
    shutil.which("dsrdump") is None, reason="dsrdump is not installed: apt-get install --no-install-recommends dcmtk"
)
def test_dsrdump_warns_where_there_is_something_to_warn_of(tmp_path: Path) -> None:
    result = report()
    broken = replace(
        result, data=result.data.replace(b"POLYLINE", b"POLYLIME").replace(b"INFERRED FROM ", b"HAS ACQ FRUIT ")
    )
    assert broken.data != result.data
    assert said_by("dsrdump", broken, tmp_path).stderr


@pytest.mark.parametrize("study", STUDIES)
def test_highdicom_opens_it(study: str, tmp_path: Path) -> None:
    result = STUDIES[study]()
    path = tmp_path / "report.dcm"
    path.write_bytes(result.data)
    opened = highdicom.sr.srread(path)
    assert isinstance(opened, highdicom.sr.ComprehensiveSR)
    assert isinstance(opened.content, highdicom.sr.MeasurementReport)
    for group in opened.content.get_planar_roi_measurement_groups():
        assert group.tracking_uid.startswith("2.25.")
        assert group.reference_type.meaning == "Image Region"
    assert opened.get_evidence(current_procedure_only=True)
