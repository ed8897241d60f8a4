"""Rejection notes as an archive writes them (Key Object Selection, PS3.3 A.35.4)."""

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage, generate_uid

from dicom_node.encode.sources import code_item


def rejects(
    *images: Dataset, title: Code = codes.DCM.RejectedForQualityReasons, content: bool = True, evidence: bool = True
) -> Dataset:
    """A Key Object Selection as an archive writes it, of the study of the first image."""
    note = Dataset()
    note.file_meta = FileMetaDataset()
    note.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    note.SOPClassUID = KeyObjectSelectionDocumentStorage
    note.SOPInstanceUID = generate_uid()
    note.StudyInstanceUID = images[0].StudyInstanceUID
    note.SeriesInstanceUID = generate_uid()
    note.PatientID = images[0].PatientID
    note.PatientName = images[0].PatientName
    note.AccessionNumber = images[0].AccessionNumber
    note.Manufacturer = "An archive"
    note.Modality = "KO"
    note.ValueType = "CONTAINER"
    note.ConceptNameCodeSequence = [code_item(title)]
    if content:
        note.ContentSequence = [_item("IMAGE", image) for image in images]
    if evidence:
        study = Dataset()
        study.StudyInstanceUID = images[0].StudyInstanceUID
        study.ReferencedSeriesSequence = [_item("", image) for image in images]
        note.CurrentRequestedProcedureEvidenceSequence = [study]
    return note


def _item(value_type: str, image: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = image.SOPClassUID
    reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
    holder = Dataset()
    holder.ReferencedSOPSequence = [reference]
    if value_type:
        holder.ValueType = value_type
        holder.RelationshipType = "CONTAINS"
    else:
        holder.SeriesInstanceUID = image.SeriesInstanceUID
    return holder
