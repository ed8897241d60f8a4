"""The SR before other programs and tables; what is wrong with them themselves: see `validators`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import highdicom.sr
import pytest

from dicom_node.domain import EncodedResult, Profile
from dicom_node.encode.sr_context import Fate
from tests.encode.reports import FINDINGS, PREDECESSOR, REPORT, REPORTED, one, report, reported, unread
from tests.encode.sources import MAKERS, SCRIPTS, bare, finding, full, read
from tests.encode.validators import dciodvfy, dsrdump, module_errors, needs

peer = pytest.mark.peer
needs_dciodvfy = needs("dciodvfy", "dicom3tools")
needs_dsrdump = needs("dsrdump", "dcmtk")

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


@peer
@needs_dciodvfy
@pytest.mark.parametrize("study", STUDIES)
def test_dciodvfy_finds_no_error(study: str, tmp_path: Path) -> None:
    assert dciodvfy(STUDIES[study]().data, tmp_path) == []


@peer
@needs_dsrdump
@pytest.mark.parametrize("study", STUDIES)
def test_dsrdump_reads_it_without_a_warning(study: str, tmp_path: Path) -> None:
    assert dsrdump(STUDIES[study]().data, tmp_path) == []


@peer
@needs_dciodvfy
@needs_dsrdump
def test_they_see_what_is_wrong(tmp_path: Path) -> None:
    data = report().data
    odd_graphic = data.replace(b"POLYLINE", b"POLYLIME")
    # an evaluation must not be an acquisition context (PS3.3 A.35.3.3)
    odd_relationship = data.replace(b"HAS PROPERTIES", b"HAS ACQ CONTEX")
    odd_flag = data.replace(b"UNVERIFIED", b"UNVERYFIED")
    assert data not in (odd_graphic, odd_relationship, odd_flag)
    assert dsrdump(odd_graphic, tmp_path)
    assert dsrdump(odd_relationship, tmp_path)
    assert dciodvfy(odd_flag, tmp_path)


@pytest.mark.parametrize("study", STUDIES)
def test_the_tables_of_the_standard_find_nothing_missing(study: str) -> None:
    result = STUDIES[study]()
    beyond = {"ContentQualification", "RequestAttributesSequence"}
    errors = [
        error
        for error in module_errors(result, read(result))
        # a Standard Extended SOP Class may say more (PS3.4 3.8.4): RESEARCH, and the request that the image answers
        if error.split(" is in no module of the IOD ")[0] not in beyond
    ]
    assert errors == []


@pytest.mark.parametrize("study", STUDIES)
def test_highdicom_opens_it(study: str, tmp_path: Path) -> None:
    result = STUDIES[study]()
    path = tmp_path / "report.dcm"
    path.write_bytes(result.data)
    opened = highdicom.sr.srread(path)
    wanted = highdicom.sr.Comprehensive3DSR if result.profile is Profile.AIR else highdicom.sr.ComprehensiveSR
    assert isinstance(opened, wanted)
    assert isinstance(opened.content, highdicom.sr.MeasurementReport)
    for group in opened.content.get_planar_roi_measurement_groups():
        assert group.tracking_uid.startswith("2.25.")
        assert group.reference_type.meaning == "Image Region"
    assert opened.get_evidence(current_procedure_only=True)
