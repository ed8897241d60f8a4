"""Same inputs, same UIDs, same bytes, on every day and host; originals before results in every order."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID

import pytest
from pydicom.dataset import Dataset

from dicom_node.domain import Clean, Kind, Profile
from dicom_node.encode.marks import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, is_result
from dicom_node.encode.profiles import PROFILES, kinds_for, study_kinds_for
from dicom_node.encode.tracking import tracking
from dicom_node.encode.uids import derived_uid
from tests.encode.sources import ALL, CONTEXT, encode, everything, finding, full, header, read, source
from tests.waiting import wait_for


def test_the_same_inputs_give_the_same_bytes_seconds_apart() -> None:
    before, second = everything(), int(time.time())
    wait_for("the clock to reach another second", lambda: int(time.time()) > second)
    assert everything() == before


def test_the_same_inputs_give_the_same_bytes_in_another_process_and_time_zone() -> None:
    program = "from tests.encode.sources import everything; print(everything())"
    environment = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    there = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == everything()


@pytest.mark.parametrize(("profile", "kind"), ALL)
def test_another_day_changes_the_times_alone(profile: Profile, kind: Kind) -> None:
    today = encode(kind, profile)
    later = encode(kind, profile, context=replace(CONTEXT, content_time=CONTEXT.content_time + timedelta(days=1)))
    assert today.sop_instance_uid == later.sop_instance_uid
    assert today.data != later.data
    differing = {line[:11] for line in set(str(read(today)).splitlines()) ^ set(str(read(later)).splitlines())}
    assert differing <= {
        "(0008,0012)", "(0008,0013)", "(0008,0021)", "(0008,0023)", "(0008,0031)", "(0008,0033)",
        "(0018,1012)", "(0018,1014)", "   (0018,a0", "   (0018,A0", "(0070,0082)", "(0070,0083)",
    }  # fmt: skip


def test_whatever_goes_in_gives_another_uid() -> None:
    contexts = [
        CONTEXT,
        replace(CONTEXT, input_digest="d4" * 32),
        replace(CONTEXT, model_digest="d4" * 32),
        replace(CONTEXT, parameters="d4" * 32),
        # it stands in the footer and in Software Versions
        replace(CONTEXT, software_version="9.9"),
    ]
    results = [encode(kind, profile, context=context) for context in contexts for profile, kind in ALL]
    assert len({result.sop_instance_uid for result in results}) == len(results)


@pytest.mark.parametrize(("profile", "kind"), ALL)
def test_a_uid_never_has_two_contents_when_a_series_is_called_otherwise(profile: Profile, kind: Kind) -> None:
    before = encode(kind, profile)
    for called in ({f"{kind}_description": "AI RESEARCH other"}, {f"{kind}_series_number": 8800}):
        after = encode(kind, profile, context=replace(CONTEXT, **called))
        assert after.sop_instance_uid != before.sop_instance_uid
        assert after.series_instance_uid != before.series_instance_uid


@pytest.mark.parametrize(("profile", "kind"), ALL)
def test_the_row_of_the_ledger_says_what_the_file_says(profile: Profile, kind: Kind) -> None:
    result = encode(kind, profile)
    written = read(result)
    assert (result.kind, result.profile) == (kind, profile)
    assert written.SOPInstanceUID == written.file_meta.MediaStorageSOPInstanceUID == result.sop_instance_uid
    assert written.SOPClassUID == written.file_meta.MediaStorageSOPClassUID == result.sop_class_uid
    assert written.SeriesInstanceUID == result.series_instance_uid
    assert written.file_meta.TransferSyntaxUID == result.transfer_syntax_uid


def test_a_derived_uid_is_a_uuid_under_2_25() -> None:
    uid = derived_uid("a", "b")
    number = UUID(int=int(uid.removeprefix("2.25.")))
    assert (number.version, number.variant) == (8, RFC_4122)
    assert uid == derived_uid("a", "b")
    assert uid != derived_uid("ab", "")
    assert UUID(int=int(IMPLEMENTATION_CLASS_UID.removeprefix("2.25."))).version == 8


def test_the_overlays_of_a_study_share_a_series_and_a_late_image_joins_it() -> None:
    first, late = header(full()), header(full("CR", SOPInstanceUID="1.2.9", InstanceNumber=2))
    second = replace(CONTEXT, input_digest="e5" * 32)
    series = encode(Kind.SC, of=first).series_instance_uid
    assert encode(Kind.SC, of=late, context=second).series_instance_uid == series
    assert encode(Kind.SC, Profile.OHIF, of=late, context=second).series_instance_uid != series
    # a study whose patient was corrected is another one: its overlays must not join the old one's
    corrected = header(full(PatientID="P-1"))
    assert encode(Kind.SC, of=corrected, context=second).series_instance_uid != series


def test_each_image_has_a_seg_series_of_its_own() -> None:
    second = replace(CONTEXT, input_digest="e5" * 32)
    assert encode(Kind.SEG).series_instance_uid == encode(Kind.SEG).series_instance_uid
    assert encode(Kind.SEG).series_instance_uid != encode(Kind.SEG, context=second).series_instance_uid


def test_instance_numbers_follow_the_sources_across_series() -> None:
    order = [(None, None), (None, 1), (1, None), (1, 1), (1, 2), (2, 1), (3, 998), (20201, 3), (2**31 - 1, 1)]
    numbers = [
        int(read(encode(Kind.SC, of=header(source(SeriesNumber=series, InstanceNumber=number)))).InstanceNumber)
        for series, number in order
    ]
    assert numbers == sorted(numbers)
    assert len(set(numbers[1:])) == len(numbers) - 1
    assert numbers[-1] < 2**31


@pytest.mark.parametrize("odd", ["", "1.5", "-3", "1e3", "４", "9" * 40])
def test_an_odd_instance_number_is_none(odd: str) -> None:
    nothing = source(SeriesNumber=None)
    nothing.add_new("InstanceNumber", "LO", odd)
    assert read(encode(Kind.SC, of=nothing)).InstanceNumber == 1


DATES = {
    "hours before the result": {},
    "on a modality whose clock is an hour ahead": {
        "ContentDate": "20260304", "ContentTime": "223015", "AcquisitionDate": "20260304", "AcquisitionTime": "223014",
    },
    "de-identified into the next century": {"StudyDate": "21860101", "AcquisitionDate": "21860102"},
    "at the end of all days": {"ContentDate": "99991231", "ContentTime": "235959.999"},
    "as an acquisition date and time": {"AcquisitionDateTime": "20270101101112.5+0900"},
}  # fmt: skip


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("when", DATES)
def test_whoever_sorts_finds_the_originals_first(profile: Profile, when: str) -> None:
    original = full(**DATES[when])
    objects = [
        original,
        *(read(encode(kind, profile, of=header(full(**DATES[when])))) for kind in PROFILES[profile].kinds),
    ]

    def number(dataset: Dataset) -> int:
        return int(dataset.SeriesNumber)

    def moment(dataset: Dataset) -> tuple[str, str]:
        return max(
            (str(dataset.get(f"{of}Date") or ""), str(dataset.get(f"{of}Time") or ""))
            for of in ("Content", "Series", "Acquisition", "PresentationCreation")
        )

    for key in (number, moment):
        assert min(objects[::-1], key=key) is original
        assert [key(one) for one in objects].count(key(original)) == 1  # type: ignore[operator]  # two keys, two types


def test_numbers_and_descriptions_are_those_of_the_settings() -> None:
    context = replace(CONTEXT, seg_series_number=8801, sc_series_number=8802, sc_description="AI RESEARCH обзор\r\n")
    assert read(encode(Kind.SEG, context=context)).SeriesNumber == 8801
    overlay = read(encode(Kind.SC, context=context))
    assert (overlay.SeriesNumber, overlay.SeriesDescription) == (8802, "AI RESEARCH ?????")


def test_times_are_told_in_the_zone_of_the_source() -> None:
    result = read(encode(Kind.SEG, of=header(full())))
    # 12:30:15.25 UTC is 21:30 in the +0900 of the source
    assert (result.ContentDate, result.ContentTime) == ("20260304", "213015.250000")
    assert result.ContributingEquipmentSequence[-1].ContributionDateTime == "20260304213015.250000+0900"
    unzoned = replace(CONTEXT, content_time=CONTEXT.content_time.astimezone(timezone(timedelta(hours=-5))))
    assert read(encode(Kind.SEG, of=header(source()), context=unzoned)).InstanceCreationTime == "073015.250000"


def test_the_true_moment_stays_where_the_modalitys_clock_is_ahead() -> None:
    ahead = read(encode(Kind.SEG, of=header(full(ContentDate="20300101", ContentTime="120000"))))
    assert (ahead.ContentDate, ahead.ContentTime) == ("20300101", "120001.000000")
    assert (ahead.SeriesDate, ahead.SeriesTime) == (ahead.ContentDate, ahead.ContentTime)
    assert (ahead.InstanceCreationDate, ahead.InstanceCreationTime) == ("20260304", "213015.250000")


def test_a_moment_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        replace(CONTEXT, content_time=datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None))


@pytest.mark.parametrize(("profile", "kind"), ALL)
def test_any_chexnode_knows_its_own(profile: Profile, kind: Kind) -> None:
    result = read(encode(kind, profile))
    assert is_result(result.Manufacturer, result.ManufacturerModelName)
    assert result.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert result.file_meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert list(result.SoftwareVersions) == ["chexnode 0.1.0", "probe 1.2.3"]
    assert result.ContentQualification == "RESEARCH"
    acquisition, processing = result.ContributingEquipmentSequence
    assert acquisition.Manufacturer == "Loopback Radiography"
    assert is_result(processing.Manufacturer, processing.ManufacturerModelName)
    original = full()
    assert not is_result(original.Manufacturer, "")


def test_which_objects_a_profile_has() -> None:
    of_an_image = {
        Profile.STRICT: (Kind.SEG, Kind.SC),
        Profile.AIR: (Kind.SEG,),
        Profile.OHIF: (Kind.SEG, Kind.SC),
        Profile.SLICER: (Kind.SEG,),
        Profile.CLASSIC_PACS: (Kind.SC, Kind.GSPS),
        Profile.SC_ONLY: (Kind.SC,),
    }
    of_a_study = {profile: () if profile in (Profile.STRICT, Profile.SC_ONLY) else (Kind.SR,) for profile in Profile}
    for profile in Profile:
        assert kinds_for(profile, any_findings=True) == of_an_image[profile]
        assert study_kinds_for(profile, any_findings=True) == of_a_study[profile]


def test_nothing_found_is_said_once_or_everywhere_or_not_at_all() -> None:
    for profile, row in PROFILES.items():

        def said(clean: Clean, profile: Profile = profile) -> tuple[tuple[Kind, ...], tuple[Kind, ...]]:
            of_an_image = kinds_for(profile, any_findings=False, clean=clean)
            return of_an_image, study_kinds_for(profile, any_findings=False, clean=clean)

        picture = tuple(kind for kind in row.kinds if kind is Kind.SC)
        assert said(Clean.ONCE) == (() if row.study_kinds and row.sr_is_read else picture, row.study_kinds)
        assert any(said(Clean.ONCE)), "each profile can say it"
        assert said(Clean.EVERYWHERE) == (picture, row.study_kinds)
        assert said(Clean.NOTHING) == ((), ())
        # what was found on an image is told whatever is said of clean ones
        for clean in Clean:
            assert kinds_for(profile, any_findings=True, clean=clean) == row.kinds
            assert study_kinds_for(profile, any_findings=True, clean=clean) == row.study_kinds


def test_a_finding_is_tracked_by_one_uid_in_every_object_and_profile() -> None:
    found = (finding(20, 10, confidence=0.8), finding(40, 30, 5, 5, confidence=0.4))
    tracked = [
        tracking(n, input_digest=CONTEXT.input_digest, model_digest=CONTEXT.model_digest, parameters=CONTEXT.parameters)
        for n in (1, 2)
    ]
    air, slicer = (read(encode(Kind.SEG, of_one, findings=found)) for of_one in (Profile.AIR, Profile.SLICER))
    state = read(encode(Kind.GSPS, Profile.CLASSIC_PACS, findings=found))
    expected = [(one.identifier, one.uid) for one in tracked]
    for seg in (air, slicer):
        assert [(one.TrackingID, one.TrackingUID) for one in seg.SegmentSequence] == expected
    lines = [annotation.GraphicObjectSequence[0] for annotation in state.GraphicAnnotationSequence[:2]]
    assert [(line.TrackingID, line.TrackingUID) for line in lines] == expected
    (united,) = read(encode(Kind.SEG, findings=found)).SegmentSequence
    assert united.TrackingUID not in {one.uid for one in tracked}
