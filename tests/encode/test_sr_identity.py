"""Whose report it is, and which: identity, times and UIDs."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicom_node.domain import Profile
from dicom_node.encode import kept
from dicom_node.encode.identity import IDENTITY_KEYWORDS, header_of
from dicom_node.encode.sr_context import Fate
from tests.encode.reports import (
    FINDINGS,
    PREDECESSOR,
    REPORT,
    REPORTED,
    evidence,
    groups,
    reading,
    report,
    reported,
    texts,
    unread,
)
from tests.encode.sources import SCRIPTS, bare, full, item, read, sent
from tests.encode.test_hostile import HEADERS, with_octets


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_identity_is_that_of_the_source_octet_for_octet(script: str) -> None:
    dataset = sent(full(script=script))
    want = header_of(dataset)
    result = read(report(reported(of=full(script=script))))
    for keyword in IDENTITY_KEYWORDS:
        assert (keyword in want) <= (keyword in result), keyword
        if keyword in want:
            assert result[keyword].value == dataset[keyword].value, keyword


def test_a_source_that_says_next_to_nothing_has_a_report() -> None:
    result = read(report(reported(of=bare("CR"))))
    assert result.PatientName == result.StudyID == ""
    assert len(groups(result)) == 2


def test_the_newest_image_says_whose_report_it_is() -> None:
    older, newer = reported(1, of=full(StudyDescription="old")), reported(2, of=full())
    result = read(report(older, replace(newer, header=header_of(sent(full(StudyID="NEW"))))))
    assert result.StudyID == "NEW"


def test_headers_of_two_patients_never_mix() -> None:
    theirs = reported(1, of=full(PatientID="P-OTHER"))
    result = read(report(theirs, reported(2)))
    assert evidence(result) == {reported(2).sop_instance_uid}
    assert len(groups(result)) == 2
    assert "P-OTHER" not in str(result)
    assert f"Not reported: image {theirs.sop_instance_uid}, whose header names another patient" in texts(result)
    assert (result.CompletionFlag, result.CompletionFlagDescription) == ("PARTIAL", "without 1 of 2 images")


def test_what_cannot_be_carried_is_named() -> None:
    odd = with_octets({"StudyDescription": ("LO", b"x" * 70_000)}, little_endian=True)
    result = read(report(reported(header=header_of(odd))))
    assert "StudyDescription" not in result
    assert "Not copied from the source, whose values cannot be written: StudyDescription" in texts(result)


@given(values=HEADERS, little_endian=st.booleans())
@settings(max_examples=25, deadline=None)
def test_whatever_a_header_holds_there_is_a_report(values: dict[str, tuple[str, bytes]], little_endian: bool) -> None:
    odd = with_octets(values, little_endian=little_endian)
    direct = report(reported(header=odd))
    assert report(reported(header=kept.unpack(kept.pack(odd)))).data == direct.data
    assert direct.data.count(b"POLYLINE") == 2


@pytest.mark.parametrize("octets", [b"", b"{", b"[1]", b'[[1,"LO","!"]]', b'[["a","LO",""]]', b"7"])
def test_what_is_no_kept_header_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever json, base64 and pydicom say
        kept.unpack(octets)


def test_a_study_without_a_header_has_no_report() -> None:
    with pytest.raises(ValueError, match="belong to nobody"):
        report(unread(1, Fate.FAILED, "not dicom", header=None))


def test_two_models_are_both_named() -> None:
    other = replace(reading(2), model_digest="d4" * 32, algorithm_name="other")
    result = read(report(reported(1), reported(2, reading=other)))
    assert [str(part) for part in result.SoftwareVersions] == ["chexnode 0.1.0", "probe 1.2.3", "other 1.2.3"]
    assert "DeviceSerialNumber" not in result
    serials = [e.get("DeviceSerialNumber") for e in result.ContributingEquipmentSequence]
    assert serials[1:] == ["a1" * 32, "d4" * 32]


def test_it_is_dated_after_every_image_and_in_their_zone() -> None:
    late = full(ContentDate="20300101", ContentTime="120000")
    result = read(report(reported(1, of=late), reported(2)))
    assert (result.ContentDate, result.ContentTime) == ("20300101", "120001.000000")
    assert (result.InstanceCreationDate, result.InstanceCreationTime) == ("20260304", "213015.250000")
    with pytest.raises(ValueError, match="no time zone"):
        replace(REPORT, content_time=datetime(2026, 3, 4))  # noqa: DTZ001 - this is what is refused


def test_a_series_is_a_patient_s_a_profile_s_and_a_model_s() -> None:
    results = [
        report(),
        report(context=replace(REPORT, revision=2)),
        report(reported(1)),
        report(profile=Profile.SLICER),
        report(reported(1, of=full(AccessionNumber="A-2"), input_digest="e5" * 32)),
        report(reported(1, reading=replace(reading(), parameters="d4" * 32))),
    ]
    assert len({result.sop_instance_uid for result in results}) == len(results)
    series = [result.series_instance_uid for result in results]
    assert series[0] == series[1] == series[2]
    assert len(set(series)) == 4


def test_whatever_is_said_is_in_the_uid() -> None:
    image = reported()
    changed = [
        replace(image, input_digest="d4" * 32),
        replace(image, fate=Fate.PENDING, because="again"),
        replace(image, reading=replace(reading(), model_digest="d4" * 32)),
        replace(image, reading=replace(reading(), parameters="d4" * 32)),
        replace(image, findings=FINDINGS[:1]),
        unread(1, Fate.DECLINED, "one"),
        unread(1, Fate.DECLINED, "other"),
        unread(1, Fate.FAILED, "other"),
    ]
    results = [report(each) for each in (image, *changed)]
    results += [report(image, profile=profile) for profile in REPORTED if profile is not Profile.OHIF]
    results += [report(image, context=replace(REPORT, predecessors=(PREDECESSOR,)))]
    results += [report(reported(2), image), report(image, reported(2))]
    assert len({result.sop_instance_uid for result in results}) == len(results)


def test_another_day_changes_the_times_alone() -> None:
    today, later = report(), report(context=replace(REPORT, content_time=REPORT.content_time + timedelta(days=1)))
    assert report().data == today.data
    assert today.sop_instance_uid == later.sop_instance_uid
    differing = {line[:11] for line in set(str(read(today)).splitlines()) ^ set(str(read(later)).splitlines())}
    assert differing == {
        "(0008,0012)", "(0008,0013)", "(0008,0023)", "(0008,0033)", "   (0018,a0", "   (0018,A0",
    } & differing  # fmt: skip
    assert differing


def test_the_zone_in_which_it_is_made_changes_nothing() -> None:
    tokyo = REPORT.content_time.astimezone(timezone(timedelta(hours=9)))
    assert report(context=replace(REPORT, content_time=tokyo)).data == report().data


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_malformed_uid_is_repeated_as_it_is() -> None:
    odd = sent(full())
    odd["SeriesInstanceUID"] = RawDataElement(Tag(0x0020000E), "UI", 8, b"1.2.03.4", 0, False, True)
    (named,) = read(report(reported(header=header_of(odd)))).CurrentRequestedProcedureEvidenceSequence
    assert named.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.03.4"


def test_request_attributes_are_carried_into_the_report() -> None:
    dataset = full()
    dataset.ReferencedRequestSequence = [item(RequestedProcedureID="RP-1", AccessionNumber="A-1001")]
    assert read(report(reported(of=dataset))).ReferencedRequestSequence[0].RequestedProcedureID == "RP-1"
