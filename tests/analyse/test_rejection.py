"""What a rejection note says, whoever wrote it and however badly."""

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_node.analyse import rejection as notes
from dicom_node.analyse.rejection import Rejection, rejection, told
from dicom_node.domain import RejectionTitle


def item(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def titled(code: str, scheme: str = "DCM") -> list[Dataset]:
    return [item(CodeValue=code, CodingSchemeDesignator=scheme, CodeMeaning="whatever")]


def holder(*uids: str) -> Dataset:
    return item(ReferencedSOPSequence=[item(ReferencedSOPInstanceUID=uid) for uid in uids])


def note(*content: Dataset, evidence: tuple[Dataset, ...] = (), **attributes: Any) -> Dataset:
    made = item(
        SOPClassUID=KeyObjectSelectionDocumentStorage,
        ConceptNameCodeSequence=titled("113001"),
        ContentSequence=list(content),
        CurrentRequestedProcedureEvidenceSequence=[item(ReferencedSeriesSequence=list(evidence))],
    )
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize("title", RejectionTitle)
def test_each_title_of_a_rejection_counts(title: RejectionTitle) -> None:
    said = rejection(note(holder("1.2"), ConceptNameCodeSequence=titled(title.value)))
    assert said == Rejection(title=title, sop_instance_uids=("1.2",))


@pytest.mark.parametrize(
    "attributes",
    [
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"},
        {"ConceptNameCodeSequence": titled("113000")},
        {"ConceptNameCodeSequence": titled("113001", "99LOCAL")},
        {"ConceptNameCodeSequence": [Dataset()]},
        {"ConceptNameCodeSequence": []},
        {"ConceptNameCodeSequence": None},
    ],
    ids=str,
)
def test_whatever_else_is_no_rejection(attributes: dict[str, Any]) -> None:
    assert rejection(note(holder("1.2"), **attributes)) is None


def test_content_goes_before_evidence() -> None:
    said = rejection(note(holder("1.2"), holder("1.3", "1.4"), item(TextValue="why"), evidence=(holder("1.9"),)))
    assert said is not None
    assert said.sop_instance_uids == ("1.2", "1.3", "1.4")
    said = rejection(note(item(TextValue="why"), evidence=(holder("1.9"), holder("1.8"))))
    assert said is not None
    assert said.sop_instance_uids == ("1.9", "1.8")


def test_a_note_that_names_nothing_names_nothing() -> None:
    said = rejection(note())
    assert said is not None
    assert said.sop_instance_uids == ()


def test_a_note_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "MOST", 3)
    said = rejection(note(holder(*(f"1.{number}" for number in range(9)))))
    assert said is not None
    assert said.sop_instance_uids == ("1.0", "1.1", "1.2")


@pytest.mark.parametrize(
    "message",
    [
        "rejected",
        {},
        {"title": "113001"},
        {"title": "113000", "sop_instance_uids": []},
        {"title": "113001", "sop_instance_uids": ["../etc"]},
        {"title": "113001", "sop_instance_uids": [7]},
        {"title": "113001", "sop_instance_uids": ["1" * 65]},
        {"title": "113001", "sop_instance_uids": ["1.2"] * (notes.MOST + 1)},
    ],
    ids=lambda message: str(message)[:60],
)
def test_a_child_that_tells_nonsense_is_not_believed(message: object) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        told(message)


def test_what_a_child_tells_arrives() -> None:
    assert told(None) is None
    assert told({"title": "113037", "sop_instance_uids": ["1.2", "1.3"]}) == Rejection(
        title=RejectionTitle.PATIENT_SAFETY, sop_instance_uids=("1.2", "1.3")
    )
