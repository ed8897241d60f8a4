"""Whatever octets a header holds, a result comes out of it, and carries them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_node.domain import Kind, Profile
from dicom_node.encode.elements import element
from dicom_node.encode.identity import HEADER_KEYWORDS, IDENTITY_KEYWORDS, copy_identity, header_of
from tests.encode.sources import KINDS, encode, film, finding, full, header, read

VRS = ["AE", "CS", "DA", "DS", "IS", "LO", "OB", "PN", "SQ", "TM", "UI", "UN", "US", "UT", "??"]
ODD = st.one_of(
    st.binary(max_size=40),
    st.sampled_from((b"", b"\\", b"\\\\\\", b"nan", b"inf\\-1", b"0\\0", b"1e999\\1", b"\r\n", b"\0" * 9, b" " * 70)),
    st.text("0123456789.+-:^=\\ ", max_size=30).map(str.encode),
)
FIXED = header(full())
NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


def with_octets(values: dict[str, tuple[str, bytes]], *, little_endian: bool) -> Dataset:
    odd = Dataset()
    odd.update({tag: FIXED.get_item(tag) for tag in sorted(FIXED.keys())})
    for keyword, (vr, octets) in values.items():
        tag = Tag(tag_for_keyword(keyword) or 0)
        odd[tag] = RawDataElement(tag, vr, len(octets), octets, 0, False, little_endian)
    return odd


HEADERS = st.dictionaries(
    st.sampled_from([keyword for keyword in HEADER_KEYWORDS if keyword not in NEEDED]),
    st.tuples(st.sampled_from(VRS), ODD),
    max_size=8,
)


@given(values=HEADERS, little_endian=st.booleans())
@settings(max_examples=150, deadline=None)
def test_octets_in_octets_out(values: dict[str, tuple[str, bytes]], little_endian: bool) -> None:
    odd, result, again = with_octets(values, little_endian=little_endian), Dataset(), Dataset()
    left_out = copy_identity(odd, result)
    assert copy_identity(header_of(odd), again) == left_out
    for keyword, (_, octets) in values.items():
        tag = Tag(tag_for_keyword(keyword) or 0)
        if keyword not in IDENTITY_KEYWORDS or dictionary_VR(tag) in ("US", "FD"):
            continue
        if keyword in left_out:
            assert dictionary_VR(tag) == "SQ"
            assert keyword not in result
            continue
        carried = element(result, tag, charset=["iso8859"]).value
        assert carried == element(again, tag, charset=["iso8859"]).value
        if dictionary_VR(tag) != "SQ":
            assert carried[: len(octets)] == octets
            assert carried[len(octets) :] in (b"", b" ", b"\0")


ODDITIES: list[dict[str, tuple[str, bytes]]] = [
    {"LossyImageCompression": ("CS", b"01"), "LossyImageCompressionRatio": ("DS", b"much")},
    {"TimezoneOffsetFromUTC": ("SH", b"+9999 ")},
    {"ContentDate": ("DA", b"00000000")},
    {"ContentDate": ("DA", b"99991231"), "ContentTime": ("TM", b"235960")},
    {"PixelSpacing": ("DS", b"1e-320\\1e308")},
    {"OtherPatientIDsSequence": ("SQ", b"\xfe\xff\x00\xe0\xff\xff\xff\xff")},
    {"OtherPatientIDsSequence": ("US", b"abc")},
]


def encoded_all(odd: Dataset) -> list[bytes]:
    return [
        encode(kind, Profile.OHIF, of=odd, pixels=film(9, 7), findings=(finding(2, 2, 3, 3),)).data for kind in KINDS
    ]


@pytest.mark.parametrize("values", ODDITIES, ids=str)
def test_an_odd_header_stops_no_result(values: dict[str, tuple[str, bytes]]) -> None:
    odd = with_octets(values, little_endian=True)
    assert encoded_all(odd) == encoded_all(header_of(odd))


@given(values=HEADERS, little_endian=st.booleans())
@settings(max_examples=15, deadline=None)
def test_no_header_stops_a_result(values: dict[str, tuple[str, bytes]], little_endian: bool) -> None:
    assert all(encoded_all(with_octets(values, little_endian=little_endian)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keyword", NEEDED)
@pytest.mark.parametrize("octets", [b"1.2.x", b"1.2\r\n", b"1." + b"3" * 90, b"\xff\xfe\xfd", b"1\\2"])
def test_a_malformed_uid_is_repeated_as_it_is(kind: Kind, keyword: str, octets: bytes) -> None:
    odd = with_octets({keyword: ("UI", octets)}, little_endian=True)
    data = encode(kind, Profile.OHIF, of=odd).data
    assert octets.strip() in data


def test_big_endian_numbers_are_turned_and_texts_are_not() -> None:
    odd = with_octets({"PregnancyStatus": ("US", b"\0\4"), "PatientID": ("LO", b"AB")}, little_endian=False)
    result = read(encode(Kind.SEG, of=odd))
    assert (result.PregnancyStatus, result.PatientID) == (4, "AB")
