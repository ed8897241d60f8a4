"""Bad manners of archives, each a switch: what was seen in the field, to rehearse against."""

import copy
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from io import BytesIO

import imagecodecs
import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import SegmentationStorage

from dicom_node.dimse.contexts import accepted_contexts
from dicom_node.errors import ConfigurationError

#: put before a Patient ID that is coerced, and before that of the patient that another is merged into
COERCED, MERGED = "MPI-", "MERGED-"
#: what an Accession Number that was corrected ends with
CORRECTED = "-C"
#: what coerced objects name as the cause (PS3.3 C.12.1, Modifying System)
MODIFYING_SYSTEM = "AWKWARD ARCHIVE"


class Manner(StrEnum):
    """One of them, as `chexnode archive --awkward` calls it."""

    COERCE = "coerce"
    RECOMPRESS = "recompress"
    REFUSE_SEG = "refuse-seg"
    DROP_AFTER_STORE = "drop-after-store"
    RETURN_RESULTS = "return-results"
    MERGE_PATIENTS = "merge-patients"
    SEND_TWICE = "send-twice"
    STALL = "stall"


#: what an archive with each of them does
EXPLAINED: Mapping[Manner, str] = {
    Manner.COERCE: "rewrites Patient ID and Patient Name of all that it gets, answers B000, routes its version",
    Manner.RECOMPRESS: "keeps and routes uncompressed grey pictures in JPEG-LS Lossless",
    Manner.REFUSE_SEG: "accepts no presentation context for segmentations",
    Manner.DROP_AFTER_STORE: "stores, and hangs up without an answer, the first time that it gets a UID",
    Manner.RETURN_RESULTS: "routes results back to whoever made them, and a patient's priors along with each new study",
    Manner.MERGE_PATIENTS: "merges the patient of each study into another, and routes it once more under the same UIDs",
    Manner.SEND_TWICE: "routes each study a second time, its Accession Number corrected, under the same UIDs",
    Manner.STALL: "stops reading in the middle of an object, the first time that it gets a UID",
}


def manners(text: str) -> frozenset[Manner]:
    """'coerce,stall' as switches. Raises ConfigurationError, naming those that there are."""
    try:
        return frozenset(Manner(word.strip()) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise ConfigurationError(f"--awkward: {error}; there are: {', '.join(Manner)}") from error


def contexts(awkward: Collection[Manner]) -> list[PresentationContext]:
    """What such an archive accepts."""
    refused = {str(SegmentationStorage)} if Manner.REFUSE_SEG in awkward else set()
    return [context for context in accepted_contexts() if str(context.abstract_syntax) not in refused]


def altered(file: bytes, awkward: Collection[Manner]) -> bytes:
    """A PS3.10 file as such an archive keeps it; one that it altered before stays as it is.

    Raises what pydicom does for bytes that are no data set.
    """
    if not {Manner.COERCE, Manner.RECOMPRESS} & set(awkward):
        return file
    dataset = dcmread(BytesIO(file))
    if Manner.COERCE in awkward:
        _coerce(dataset)
    if Manner.RECOMPRESS in awkward and _can_be_recompressed(dataset):
        _recompress(dataset)
    return _written(dataset)


def corrected(file: bytes, awkward: Collection[Manner]) -> bytes:
    """A file with the header that its study has when it is routed once more, under the same UIDs."""
    dataset = dcmread(BytesIO(file))
    if Manner.MERGE_PATIENTS in awkward:
        dataset.PatientID = (MERGED + str(dataset.get("PatientID") or ""))[:64]
    if Manner.SEND_TWICE in awkward:
        dataset.AccessionNumber = str(dataset.get("AccessionNumber") or "")[: 16 - len(CORRECTED)] + CORRECTED
    return _written(dataset)


def _written(dataset: Dataset) -> bytes:
    out = BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _coerce(dataset: Dataset) -> None:
    """As PS3.3 C.12.1.1.9 has it: what it was before stands in Original Attributes Sequence."""
    if str(dataset.get("PatientID") or "").startswith(COERCED):
        return
    before = Dataset()
    for keyword in ("PatientID", "PatientName"):
        if keyword in dataset:
            before[keyword] = copy.deepcopy(dataset[keyword])
    item = Dataset()
    item.SourceOfPreviousValues = ""
    item.AttributeModificationDateTime = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
    item.ModifyingSystem = MODIFYING_SYSTEM
    item.ReasonForTheAttributeModification = "COERCE"
    item.ModifiedAttributesSequence = [before]
    dataset.OriginalAttributesSequence = [*(dataset.get("OriginalAttributesSequence") or ()), item]
    dataset.PatientID = (COERCED + str(dataset.get("PatientID") or ""))[:64]
    dataset.PatientName = str(dataset.get("PatientName") or "").upper()


def _can_be_recompressed(dataset: Dataset) -> bool:
    return (
        dataset.file_meta.TransferSyntaxUID in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
        and "PixelData" in dataset
        and dataset.get("SamplesPerPixel") == 1
        and dataset.get("BitsAllocated") in (8, 16)
        and dataset.get("PixelRepresentation") == 0
        and int(dataset.get("NumberOfFrames") or 1) == 1
    )


def _recompress(dataset: Dataset) -> None:
    """Into JPEG-LS Lossless: pixel values and UIDs stay."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    samples = np.frombuffer(dataset.PixelData, np.uint8 if dataset.BitsAllocated == 8 else np.dtype("<u2"))
    pixels = samples[: rows * columns].reshape(rows, columns)
    # noise does not get smaller, and the encoder's own buffer is as large as the picture
    dataset.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(pixels, out=2 * pixels.nbytes + 1024))])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
