"""The head of a data set: right for what is right, HeadError and nothing else for the rest, and always soon."""

import contextlib
import random
import struct
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from dicom_node.receive.head import LONGEST_HEAD, HeadError, is_uid, read_head
from tests import datasets

SYNTAXES = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)


def _with_sequences(undefined: bool) -> Dataset:
    """A chest with what may stand before Study Instance UID: nested sequences, private elements, a long text."""
    inner, outer = Dataset(), Dataset()
    inner.CodeValue = "X"
    inner.StudyInstanceUID = "9.9.9"  # a nested one is not the study's
    outer.PurposeOfReferenceCodeSequence = Sequence([inner, inner])
    outer.ReferencedSOPInstanceUID = "1.2.3"
    dataset = datasets.chest()
    dataset.ReferencedImageSequence = Sequence([outer, outer, Dataset()])
    dataset.SourceImageSequence = Sequence([])
    dataset.add_new(0x00190010, "LO", "PRIVATE")
    dataset.add_new(0x00191001, "UN", bytes(70_000))
    if undefined:
        for element in dataset.iterall():
            if element.VR == "SQ":
                element.is_undefined_length = True
                for item in element.value:
                    item.is_undefined_length_sequence_item = True
    return dataset


#: data sets that say how urgent they are, and where their Study Instance UID ends
URGENT: dict[UID, bytes] = {}
AFTER_UID: dict[UID, int] = {}
for _syntax in SYNTAXES:
    _dataset = datasets.in_syntax(
        datasets.chest(RequestedProcedurePriority="STAT", RequestedProcedureDescription="Chest, ICU"), _syntax
    )
    URGENT[_syntax] = datasets.data_set_bytes(_dataset)
    _uid = _dataset.StudyInstanceUID.encode()
    AFTER_UID[_syntax] = URGENT[_syntax].index(_uid) + len(_uid) + len(_uid) % 2


@pytest.mark.parametrize("undefined", [False, True], ids=["defined lengths", "undefined lengths"])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_it_reads_what_pydicom_reads(syntax: UID, undefined: bool) -> None:
    dataset = datasets.in_syntax(_with_sequences(undefined), syntax)
    dataset.ManufacturerModelName = "Model 1"
    encoded = datasets.data_set_bytes(dataset)
    delimiter = struct.pack(">HH" if syntax == ExplicitVRBigEndian else "<HH", 0xFFFE, 0xE0DD)
    assert (delimiter in encoded) == undefined
    head = read_head(encoded, syntax)
    assert (head.sop_class_uid, head.sop_instance_uid) == (dataset.SOPClassUID, dataset.SOPInstanceUID)
    assert head.study_instance_uid == dataset.StudyInstanceUID
    assert (head.accession_number, head.patient_id, head.issuer_of_patient_id) == ("A-1001", "P-2002", "LOOPBACK")
    assert (head.manufacturer, head.manufacturer_model_name) == ("Loopback Radiography", "Model 1")


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_how_urgent_it_is_stands_further_on(syntax: UID) -> None:
    dataset = datasets.chest(
        RequestedProcedurePriority="STAT", RequestedProcedureDescription="Chest, ICU", SeriesDescription="PA"
    )
    encoded = datasets.data_set_bytes(datasets.in_syntax(dataset, syntax))
    head = read_head(encoded, syntax)
    assert head.requested_procedure_priority == "STAT"
    assert (head.study_description, head.series_description) == ("Chest PA", "PA")
    assert head.requested_procedure_description == "Chest, ICU"


@settings(max_examples=300, deadline=None)
@given(cut=st.integers(0, 1 << 16), rubbish=st.binary(max_size=60), syntax=st.sampled_from(SYNTAXES))
def test_nothing_after_the_studys_uid_costs_an_image(cut: int, rubbish: bytes, syntax: UID) -> None:
    """Cut off or spoilt anywhere after it: the same head, perhaps without a priority, as if the rest were fine."""
    whole = URGENT[syntax]
    at = AFTER_UID[syntax] + cut % (len(whole) - AFTER_UID[syntax])
    head = read_head(whole[:at] + rubbish, syntax)
    assert replace(head, requested_procedure_priority="", requested_procedure_description="") == read_head(
        whole[: AFTER_UID[syntax]], syntax
    )


def test_a_priority_of_insane_length_is_none() -> None:
    dataset = datasets.chest(RequestedProcedurePriority="STAT")
    dataset.add_new(0x00321060, "UT", "x" * 5000)
    head = read_head(datasets.data_set_bytes(dataset), ExplicitVRLittleEndian)
    assert (head.requested_procedure_description, head.requested_procedure_priority) == ("", "STAT")


@pytest.mark.data
def test_real_files(data: Path) -> None:
    read = 0
    for path in sorted((data / "dicom").glob("*.dcm")):
        raw = path.read_bytes()
        dataset = pydicom.dcmread(BytesIO(raw), force=True, stop_before_pixels=True)
        syntax = dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
        start = 0
        if raw[128:132] == b"DICM":
            start = 144 + dataset.file_meta.FileMetaInformationGroupLength
        if not dataset.get("StudyInstanceUID"):
            with pytest.raises(HeadError):
                read_head(raw[start:], syntax)
            continue
        head = read_head(raw[start:], syntax)
        assert head.study_instance_uid == dataset.StudyInstanceUID, path.name
        assert head.sop_instance_uid == dataset.SOPInstanceUID, path.name
        read += 1
    assert read >= 10


def test_a_compressed_syntax_is_explicit_little_endian() -> None:
    encoded = datasets.data_set_bytes(datasets.in_syntax(datasets.chest(), JPEG2000Lossless))
    assert read_head(encoded, JPEG2000Lossless).patient_id == "P-2002"


@pytest.mark.parametrize(
    ("character_set", "encoding"),
    [("ISO_IR 192", "utf-8"), ("ISO_IR 100", "latin-1"), ("ISO_IR 144", "iso8859_5"), ("GB18030", "gb18030")],
)
def test_texts_by_their_character_set(character_set: str, encoding: str) -> None:
    text = {"iso8859_5": "Ж-17", "gb18030": "胸-17"}.get(encoding, "Ä-17")
    dataset = datasets.chest(SpecificCharacterSet=character_set, AccessionNumber="12345678")
    encoded = datasets.data_set_bytes(dataset).replace(b"12345678", text.encode(encoding).ljust(8))
    assert read_head(encoded, ExplicitVRLittleEndian).accession_number == text


@pytest.mark.parametrize("character_set", [b"ISO_IR 192", b"NO SUCH  1", b"\\\\\\\\\\\\\\\\\\\\"])
def test_a_wrong_character_set_costs_no_image(character_set: bytes) -> None:
    encoded = datasets.data_set_bytes(datasets.chest()).replace(b"ISO_IR 192", character_set)
    head = read_head(encoded.replace(b"A-1001", b"\xff-1\r\n1"), ExplicitVRLittleEndian)
    assert head.accession_number == "ÿ-11", "unprintable characters go"
    assert head.study_instance_uid


@pytest.mark.parametrize("text", ["1", "1.2.3", "1.2.840.10008.5.1.4.1.1.1", "0.0", "1.02.3", "1." + "2" * 62])
def test_uids(text: str) -> None:
    assert is_uid(text)


@pytest.mark.parametrize("text", ["", ".", "1.", ".1", "1..2", "1.2a", "1.2 ", "1.2\n", "../x", "1." + "2" * 63, "١.٢"])
def test_no_uids(text: str) -> None:
    assert not is_uid(text)


@pytest.mark.parametrize("missing", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"])
def test_without_its_uids_it_is_no_head(missing: str) -> None:
    dataset = datasets.chest()
    encoded = datasets.data_set_bytes(dataset)
    del dataset[missing]
    dataset.preamble = None
    without = datasets.data_set_bytes(dataset)
    assert len(without) < len(encoded)
    with pytest.raises(HeadError, match="missing"):
        read_head(without, ExplicitVRLittleEndian)


def _item_bomb(items: int) -> bytes:
    """An SQ of undefined length with empty items, before the study's UID."""
    return struct.pack("<HH2s2xI", 0x0008, 0x1140, b"SQ", 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * items


def _nested(depth: int) -> bytes:
    opened = struct.pack("<HH2s2xI", 0x0008, 0x1140, b"SQ", 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return opened * depth


#: calls and returns, of Python's functions and of C's: a million take less than a second
MOST_STEPS = 1_000_000


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\0",
        b"\xff" * LONGEST_HEAD,
        bytes(LONGEST_HEAD),
        _item_bomb(2_000_000),
        _nested(60_000),
        struct.pack("<HH2s2xI", 0x0008, 0x0016, b"UN", 0xFFFFFFF0) + b"1.2.3",
        struct.pack("<HH2sH", 0x0008, 0x0016, b"UI", 0xFFFF) + b"1.2.3",
        struct.pack("<HH2sH", 0x0008, 0x0016, b"UI", 0) * 200_000,
    ],
    ids=["nothing", "a byte", "ff", "00", "2 M items", "nested", "4 GiB", "64 KiB UID", "one element again and again"],
)
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.keyword)
def test_bombs_and_rubbish_end_soon(bad: bytes, syntax: UID) -> None:
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        with pytest.raises(HeadError):
            read_head(bad, syntax)
    finally:
        sys.setprofile(None)
    assert steps < MOST_STEPS


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400), syntax=st.sampled_from(SYNTAXES))
def test_any_bytes_are_a_head_error_at_worst(data: bytes, syntax: UID) -> None:
    with contextlib.suppress(HeadError):
        read_head(data, syntax)


#: undefined length, an item, a sequence's end, two VRs of long form
SPOILERS = (b"\xff\xff\xff\xff", b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0", b"UNSQ")
VALID = {
    syntax: datasets.data_set_bytes(datasets.in_syntax(_with_sequences(True), syntax))[:75_000] for syntax in SYNTAXES
}


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32), syntax=st.sampled_from(SYNTAXES), count=st.integers(1, 30))
def test_mutated_data_sets(seed: int, syntax: UID, count: int) -> None:
    """Bytes changed, lengths above all, spans removed, copied or swapped: a Head with sane UIDs, or HeadError."""
    chance = random.Random(seed)
    data = bytearray(VALID[syntax])
    for _ in range(count):
        at = chance.randrange(min(len(data), 1500)) if len(data) > 1 else 0
        match chance.randrange(4):
            case 0:
                data[at : at + 1] = bytes([chance.choice((0, 1, 0x7F, 0xFE, 0xFF, chance.randrange(256)))])
            case 1:
                del data[at : at + chance.randrange(1, 40)]
            case 2:
                data[at:at] = data[at : at + chance.randrange(1, 200)]
            case _:
                data[at : at + 4] = chance.choice(
                    (b"\xff\xff\xff\xff", b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0", b"UNSQ")
                )
    try:
        head = read_head(bytes(data), syntax)
    except HeadError:
        return
    assert is_uid(head.sop_class_uid)
    assert is_uid(head.sop_instance_uid)
    assert is_uid(head.study_instance_uid)
    assert head.accession_number.isprintable()
