"""What may come back changed, and what may not."""

from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from dicom_node.config import Settings
from dicom_node.deliver.syntax import in_syntax
from dicom_node.doctor.comparison import Difference, difference
from dicom_node.doctor.specimen import Specimen, specimens
from dicom_node.domain import Kind, Profile
from model.weights import read_manifest


@pytest.fixture(scope="module")
def objects() -> dict[Kind | None, Specimen]:
    return {each.kind: each for each in specimens(Profile.OHIF, Settings(), read_manifest())}


def returned(sent: Specimen) -> Dataset:
    return dcmread(BytesIO(sent.data))


@pytest.mark.parametrize("kind", [None, Kind.SEG, Kind.SC, Kind.SR])
def test_nothing_changed(objects: dict[Kind | None, Specimen], kind: Kind | None) -> None:
    assert difference(objects[kind].data, returned(objects[kind])) == Difference(spoilt="", changed="")


def test_another_lossless_syntax_is_no_change(objects: dict[Kind | None, Specimen]) -> None:
    sent = objects[Kind.SC].data
    assert difference(sent, dcmread(BytesIO(in_syntax(sent, RLELossless)))) == Difference(spoilt="", changed="")


def _recoloured(back: Dataset) -> None:
    back.PixelData = bytes([back.PixelData[0] ^ 1]) + back.PixelData[1:]


def _truncated(back: Dataset) -> None:
    back.PixelData = back.PixelData[:-10]


def _unreferenced(back: Dataset) -> None:
    del back.SourceImageSequence


def _moved(back: Dataset) -> None:
    back.StudyInstanceUID = "1.2.3"


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_recoloured, "PixelData"),
        (_truncated, "PixelData"),
        (_unreferenced, "SourceImageSequence"),
        (_moved, "StudyInstanceUID"),
    ],
)
@pytest.mark.parametrize("kind", [Kind.SEG, Kind.SC])
def test_what_must_not_change(
    objects: dict[Kind | None, Specimen], kind: Kind, spoil: Callable[[Dataset], None], named: str
) -> None:
    back = returned(objects[kind])
    spoil(back)
    assert difference(objects[kind].data, back) == Difference(spoilt=named, changed="")


def test_a_report_with_another_content_is_spoilt(objects: dict[Kind | None, Specimen]) -> None:
    back = returned(objects[Kind.SR])
    del back.ContentSequence[-1]
    assert difference(objects[Kind.SR].data, back).spoilt == "ContentSequence"


def test_coercion_is_named_without_its_value(objects: dict[Kind | None, Specimen]) -> None:
    back = returned(objects[Kind.SEG])
    back.PatientName = "Doe^John"
    back.RetrieveAETitle = "ARCHIVE"
    del back.InstitutionName
    found = difference(objects[Kind.SEG].data, back)
    assert found == Difference(spoilt="", changed="RetrieveAETitle, InstitutionName, PatientName")
