"""The whole identity of the source stands in every result, octet for octet, however it was written."""

import pytest
from highdicom._standard_utils import get_iod_module_map, get_module_attribute_map, get_sop_class_iod_map
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from dicom_node.domain import Kind
from dicom_node.encode.elements import element
from dicom_node.encode.identity import (
    HEADER_KEYWORDS,
    IDENTITY_KEYWORDS,
    copy_identity,
    header_of,
    identity_key,
    read_text,
)
from tests.encode.sources import KINDS, SCRIPTS, encode, full, header, item, read, sent, source

VALUES = {
    "AE": "AE", "AS": "050Y", "CS": "VALUE", "DA": "20200102", "DS": "1.5", "DT": "20200102030405", "FD": 1.25,
    "IS": "7", "LO": "Lo 1", "LT": "Lt 2", "PN": "Name^Given", "SH": "Sh 3", "ST": "St 4", "TM": "0102",
    "UC": "Uc", "UI": "1.2.3.4", "US": 2, "UT": "Ut 5",
}  # fmt: skip


def patient_and_study_attributes() -> list[str]:
    """Every attribute of the Patient and Study IEs of what the node reads and writes, by the standard's tables."""
    iods, modules = get_iod_module_map(), get_module_attribute_map()
    classes = (ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation, SecondaryCaptureImageStorage)
    found = {
        attribute["keyword"]
        for uid in (*classes, "1.2.840.10008.5.1.4.1.1.66.4")
        for module in iods[get_sop_class_iod_map()[uid]]
        if module["ie"] in ("Patient", "Study")
        for attribute in modules[module["key"]]
        if not attribute["path"]
    }
    return sorted(found)


def everything() -> Dataset:
    """A source in which each of those attributes has a value."""
    dataset = source()
    for keyword in (*patient_and_study_attributes(), "RequestAttributesSequence", "ReferencedRequestSequence"):
        vr = dictionary_VR(keyword)
        value = [item(CodeValue="C", CodeMeaning="Näme")] if vr == "SQ" else VALUES[vr]
        if keyword != "StudyInstanceUID":
            setattr(dataset, keyword, [value] * 2 if dictionary_VM(keyword) == "2" else value)
    dataset.TimezoneOffsetFromUTC = "-0330"
    return dataset


def test_the_whitelist_knows_every_patient_and_study_attribute_of_the_standard() -> None:
    assert len(patient_and_study_attributes()) > 90
    assert set(patient_and_study_attributes()) <= set(IDENTITY_KEYWORDS) <= set(HEADER_KEYWORDS)
    assert len(set(HEADER_KEYWORDS)) == len(HEADER_KEYWORDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_patient_and_study_attribute_is_copied(kind: Kind, syntax: str) -> None:
    original = sent(everything(), syntax)
    result = read(encode(kind, of=header_of(sent(everything(), syntax))))
    for keyword in (
        *patient_and_study_attributes(),
        "SpecificCharacterSet",
        "TimezoneOffsetFromUTC",
        "RequestAttributesSequence",
        "ReferencedRequestSequence",
    ):
        assert keyword in original, keyword
        assert result[keyword].value == original[keyword].value, keyword
        assert result[keyword].VR == original[keyword].VR, keyword


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_names_in_any_script_arrive_as_the_same_octets(kind: Kind, script: str) -> None:
    original = sent(full(script=script))
    result = read(encode(kind, of=header_of(sent(full(script=script)))))
    for keyword in ("PatientName", "StudyDescription", "SpecificCharacterSet"):
        if keyword in original:
            tag = Tag(tag_for_keyword(keyword) or 0)
            assert result.get_item(tag).value == original.get_item(tag).value
    assert str(result.PatientName) == SCRIPTS[script][1]
    assert result.RequestAttributesSequence[0].RequestedProcedureDescription == SCRIPTS[script][2]


MALFORMED = {
    "a date with dots": ("PatientBirthDate", "DA", b"1960.05.01"),
    "a date that is a word": ("StudyDate", "DA", b"unknown "),
    "a time out of range": ("StudyTime", "TM", b"996199"),
    "a name with a line break": ("PatientName", "PN", b"Probe^Petra\r\nX"),
    "a name with five groups": ("PatientName", "PN", b"A=B=C=D=E^F^G^H^I^J^K "),
    "a name in no character set": ("PatientName", "PN", b"\xff\xfe\x80\x81"),
    "an accession number too long": ("AccessionNumber", "SH", b"A" * 200),
    "an ID with control characters": ("PatientID", "LO", b"P\x00\x07\x1b(1) "),
    "a backslash where one value stands": ("StudyID", "SH", b"1\\2\\3 "),
    "a sex that is none": ("PatientSex", "CS", b"female"),
    "an age without unit": ("PatientAge", "AS", b"62"),
    "a study UID with letters": ("StudyInstanceUID", "UI", b"1.2.abc\0"),
    "a study UID too long": ("StudyInstanceUID", "UI", b"1." + b"2" * 100),
    "a weight that is no number": ("PatientWeight", "DS", b"heavy "),
    "a character set that is none": ("SpecificCharacterSet", "CS", b"KLINGON "),
    "a timezone that is none": ("TimezoneOffsetFromUTC", "SH", b"CEST"),
    "another VR than the dictionary's": ("PatientName", "LO", b"Probe^Petra "),
    "VR UN": ("PatientID", "UN", b"P-2002"),
    "a VR that does not exist": ("PatientID", "ZZ", b"P-2002"),
}


@pytest.mark.filterwarnings("ignore:Unknown encoding 'KLINGON'")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_value_changes_neither_the_identity_nor_the_day(kind: Kind, what: str) -> None:
    keyword, vr, octets = MALFORMED[what]
    tag = Tag(tag_for_keyword(keyword) or 0)
    odd = sent(full())
    odd[tag] = RawDataElement(tag, vr, len(octets), octets, 0, False, True)
    for of in (odd, header_of(odd)):
        result = read(encode(kind, of=of))
        # pydicom parses a character set as soon as it reads one
        assert element(result, tag, charset=["iso8859"]).value == octets
        assert dictionary_VR(tag) == result.get_item(tag).VR


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("keyword", "vr", "octets"),
    [
        ("StudyDescription", "LO", b"x" * 70_000),
        ("PregnancyStatus", "US", b"\1\0\2"),
        ("OtherPatientIDsSequence", "SQ", b"no item at all, but long enough"),
        ("PatientComments", "SQ", b"no item"),
        ("PatientComments", "LT", b"x" * 70_000),
    ],
)
def test_what_cannot_be_written_is_left_out_and_named(kind: Kind, keyword: str, vr: str, octets: bytes) -> None:
    tag = Tag(tag_for_keyword(keyword) or 0)
    odd = sent(full())
    odd[tag] = RawDataElement(tag, vr, len(octets), octets, 0, False, True)
    assert encode(kind, of=header_of(odd)).data == encode(kind, of=odd).data
    result = read(encode(kind, of=header_of(odd)))
    if keyword == "PatientComments" and vr == "SQ":
        # the VR is the dictionary's: these octets are a text
        assert result.PatientComments == "no item"
        return
    assert keyword not in result
    # a presentation state is no image, and has no comment on one
    made = result.ContributingEquipmentSequence[-1].ContributionDescription
    assert keyword in (made if kind is Kind.GSPS else result.ImageComments)
    assert result.PatientID == "P-2002"


def test_a_sequence_without_end_is_left_out() -> None:
    nested = item(PatientID="bottom")
    for _ in range(40):
        nested = item(OtherPatientIDsSequence=[nested])
    dataset = source()
    dataset.OtherPatientIDsSequence = [nested]
    assert "OtherPatientIDsSequence" in read(encode(Kind.SEG, of=header(dataset))).ImageComments
    assert "OtherPatientIDsSequence" in read(encode(Kind.SC, of=dataset)).ImageComments


def test_a_name_that_its_character_set_cannot_say_is_not_replaced_by_question_marks() -> None:
    dataset = source(SpecificCharacterSet="ISO_IR 100", PatientName="Иванов")
    result = read(encode(Kind.SEG, of=dataset))
    assert result.PatientName == ""
    assert "PatientName" in result.ImageComments


def test_type_2_attributes_are_empty_where_the_source_has_none() -> None:
    dataset = source()
    for keyword in ("PatientID", "PatientBirthDate", "AccessionNumber", "StudyID"):
        delattr(dataset, keyword)
    for kind in KINDS:
        result = read(encode(kind, of=header(dataset)))
        for keyword in ("PatientID", "PatientBirthDate", "AccessionNumber", "StudyID"):
            assert result[keyword].is_empty


def test_the_header_is_not_changed_by_what_is_made_of_it() -> None:
    before = header(full(script="japanese"))
    octets = {tag: before.get_item(tag).value for tag in sorted(before.keys())}
    for kind in KINDS:
        encode(kind, of=before)
    assert {tag: before.get_item(tag).value for tag in sorted(before.keys())} == octets
    assert all(isinstance(before.get_item(tag), RawDataElement) for tag in sorted(before.keys()))


def test_the_header_holds_the_whitelist_and_nothing_else() -> None:
    allowed = {tag_for_keyword(keyword) for keyword in HEADER_KEYWORDS}
    dataset = full()
    dataset.add_new(0x00091001, "LO", "private")
    dataset.AcquisitionDeviceProcessingDescription = "not wanted"
    assert {int(tag) for tag in sorted(header(dataset).keys())} <= allowed


def test_nothing_of_another_identity_stays_in_the_result() -> None:
    result = item(PatientName="Wrong^One", IssuerOfPatientID="WRONG", StudyID="9")
    assert copy_identity(header(source(IssuerOfPatientID=None)), result) == ()
    assert result.PatientName == "Probe^Petra"
    assert "IssuerOfPatientID" not in result


def test_one_key_for_one_patient_study_and_accession() -> None:
    same = identity_key(header(full()))
    assert same == identity_key(header(full("CR", SOPInstanceUID="1.2.3", InstanceNumber=9)))
    for keyword in ("StudyInstanceUID", "PatientID", "IssuerOfPatientID", "AccessionNumber"):
        assert identity_key(header(full(**{keyword: "1.9"}))) != same


def test_read_text_never_raises() -> None:
    odd = header(source(PatientOrientation=["L", "F"]))
    odd[Tag(0x00200013)] = RawDataElement(Tag(0x00200013), "IS", 4, b"\xff\0\0\0", 0, False, True)
    assert read_text(odd, "InstanceNumber") == "ÿ"
    assert read_text(odd, "PatientOrientation") == "L\\F"
    assert read_text(odd, "AcquisitionDateTime") == ""
    assert read_text(source(InstanceNumber=4), "InstanceNumber") == "4"
