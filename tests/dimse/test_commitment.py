"""Requests and reports of Storage Commitment are read as they are written, and hostile ones end in an error."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.dimse.commitment import (
    FAILURES_EXIST,
    MOST_INSTANCES,
    SUCCESSFUL,
    CommitmentDataSet,
    CommitmentError,
    Referenced,
    decoded,
    encoded,
)
from dicom_node.dimse.identifiers import encoded_identifier

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
CONTENT = CommitmentDataSet(
    transaction_uid="2.25.17",
    referenced=(Referenced(sop_class_uid="1.2.3", sop_instance_uid="1.2.3.4"),),
    failed=(
        Referenced(sop_class_uid="1.2.3", sop_instance_uid="1.2.3.5", failure_reason=0x0112),
        Referenced(sop_class_uid="1.2.3", sop_instance_uid="1.2.3.6", failure_reason=0x0110),
    ),
)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_written_is_read(syntax: UID) -> None:
    assert decoded(encoded_identifier(encoded(CONTENT), syntax), syntax) == CONTENT
    assert CONTENT.event_type == FAILURES_EXIST
    good = CommitmentDataSet(transaction_uid="2.25.17", referenced=CONTENT.referenced)
    assert decoded(encoded_identifier(encoded(good), syntax), syntax) == good
    assert good.event_type == SUCCESSFUL


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True], ids=["defined lengths", "undefined lengths"])
def test_what_others_add_is_passed_over(syntax: UID, undefined: bool) -> None:
    dataset, step, study = encoded(CONTENT), Dataset(), Dataset()
    study.StudyInstanceUID = "1.2"
    step.ReferencedSOPClassUID, step.ReferencedSOPInstanceUID = "1.2.4", "1.2.4.5"
    step.ReferencedStudySequence = [study]
    dataset.ReferencedPerformedProcedureStepSequence = [step]
    dataset.RetrieveAETitle = "ARCHIVE"
    for item in (*dataset.ReferencedSOPSequence, *dataset.FailedSOPSequence):
        item.RetrieveAETitle = "ARCHIVE"
        item.PurposeOfReferenceCodeSequence = [step]
    for each in dataset.iterall():
        if each.VR == "SQ":
            each.is_undefined_length = undefined
            for item in each.value:
                item.is_undefined_length_sequence_item = undefined
    assert decoded(encoded_identifier(dataset, syntax), syntax) == CONTENT


def test_an_instance_that_is_named_twice_counts_once() -> None:
    dataset = encoded(CONTENT)
    dataset.ReferencedSOPSequence = Sequence([*dataset.ReferencedSOPSequence, *dataset.ReferencedSOPSequence])
    assert decoded(encoded_identifier(dataset, ExplicitVRLittleEndian), ExplicitVRLittleEndian) == CONTENT


def test_more_instances_than_a_transaction_may_have() -> None:
    many = tuple(Referenced(sop_class_uid="1.2", sop_instance_uid=f"1.{n}") for n in range(1, MOST_INSTANCES + 2))
    data = encoded_identifier(
        encoded(CommitmentDataSet(transaction_uid="1.2", referenced=many)), ExplicitVRLittleEndian
    )
    with pytest.raises(CommitmentError, match="more than"):
        decoded(data, ExplicitVRLittleEndian)


_SEQUENCE = struct.pack("<HHI", 0x0008, 0x1199, 0xFFFFFFFF)
_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x08\x00\x95\x11", id="half an element"),
        pytest.param(struct.pack("<HHI", 8, 0x1195, 1 << 31), id="a value of 2 GiB"),
        pytest.param((_SEQUENCE + _ITEM) * 60_000, id="sequences within sequences"),
        pytest.param(_SEQUENCE + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 120_000, id="empty items"),
        pytest.param(struct.pack("<HHI", 0xFFFE, 0xE00D, 0) * 120_000, id="delimiters"),
        pytest.param(struct.pack("<HHI8s", 8, 0x1195, 8, b"../../et"), id="a path for a UID"),
        pytest.param(struct.pack("<HHI", 9, 0, 0) * 120_000, id="elements without values"),
    ],
)
def test_hostile_data_sets_end_in_an_error(data: bytes) -> None:
    assert len(data) <= 1 << 20
    with pytest.raises(CommitmentError):
        decoded(data, ImplicitVRLittleEndian)


def test_a_syntax_that_was_not_offered() -> None:
    with pytest.raises(CommitmentError, match="not offered"):
        decoded(b"", DeflatedExplicitVRLittleEndian)


@given(
    data=st.binary(max_size=200),
    at=st.integers(min_value=0, max_value=300),
    syntax=st.sampled_from(SYNTAXES),
)
def test_whatever_is_changed_in_one_it_is_read_or_refused(data: bytes, at: int, syntax: UID) -> None:
    whole = bytearray(encoded_identifier(encoded(CONTENT), syntax))
    whole[at : at + len(data)] = data
    try:
        found = decoded(bytes(whole), syntax)
    except CommitmentError:
        return
    assert found.transaction_uid
    assert found.referenced or found.failed
