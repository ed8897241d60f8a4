"""What the archive holds of a study, sorted into sources and the node's results; and a node's own view of a mask."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from node import Node
from numpy.typing import NDArray
from orthanc import Orthanc
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from dicom_node.config import load_settings
from dicom_node.domain import Finding
from dicom_node.encode.findings import shown, united_mask
from dicom_node.encode.marks import is_result
from dicom_node.ledger import Ledger, findings
from dicom_node.ledger import results as ledger_results
from model.weights import read_manifest
from tests.waiting import wait_for


@dataclass(frozen=True, kw_only=True)
class Held:
    """One study as the archive holds it."""

    sources: tuple[Dataset, ...]
    segs: tuple[Dataset, ...]
    #: Secondary Captures
    overlays: tuple[Dataset, ...]
    #: presentation states
    states: tuple[Dataset, ...]
    #: SRs
    reports: tuple[Dataset, ...]


def held(orthanc: Orthanc, study_instance_uid: str) -> Held:
    """Every object of the study, read over DICOMweb."""
    objects = orthanc.instances(study_instance_uid)
    results = [
        each for each in objects if is_result(each.get("Manufacturer", ""), each.get("ManufacturerModelName", ""))
    ]

    def of(*sop_class_uids: str) -> tuple[Dataset, ...]:
        return tuple(each for each in results if each.SOPClassUID in sop_class_uids)

    return Held(
        sources=tuple(each for each in objects if each not in results),
        segs=of(SegmentationStorage),
        overlays=of(SecondaryCaptureImageStorage),
        states=of(GrayscaleSoftcopyPresentationStateStorage),
        reports=of(ComprehensiveSRStorage, Comprehensive3DSRStorage) + of(Comprehensive3DSRStorage),
    )


def wait_for_results(
    orthanc: Orthanc, study: str, *, segs: int, overlays: int, reports: int = 0, seconds: float = 90
) -> Held:
    """The study, once so many results have come back; of reports at least so many, for each revision has one."""

    def complete() -> Held | None:
        found = held(orthanc, study)
        complete = (len(found.segs), len(found.overlays)) == (segs, overlays) and len(found.reports) >= reports
        return found if complete else None

    return wait_for(f"{segs} SEG and {overlays} overlays in the archive", complete, seconds=seconds, every=0.5)


def references(result: Dataset) -> set[str]:
    """SOP Instance UIDs of the images that a result says it was made from."""
    found: set[str] = set()
    for element in result.iterall():
        if element.keyword == "ReferencedSOPInstanceUID":
            found.add(str(element.value))
    return found


def marked(node: Node, source: Dataset) -> tuple[Finding, ...]:
    """The findings of an image that results show, in the order of their numbers, out of the node's ledger."""
    settings = load_settings(node.configuration)
    ledger = Ledger.for_settings(settings.node)
    try:
        with ledger.reading() as tx:
            [result, *_] = ledger_results.of_sop_instance(tx, source.SOPInstanceUID)
            assert result.job_id is not None, "an image's result belongs to a job"
            found = findings.of_job(tx, result.job_id)
    finally:
        ledger.close()
    threshold = read_manifest(settings.model.folder).operating_point
    return shown(found, threshold, settings.model.most_findings)


def predicted_mask(node: Node, source: Dataset) -> NDArray[np.bool_]:
    """(rows, columns): what the model predicted for an image, out of the node's ledger."""
    return united_mask(marked(node, source), (source.Rows, source.Columns))


def inferred_mask(source: Dataset, folder: Path) -> NDArray[np.bool_]:
    """(rows, columns): what `chexnode infer`, which knows no archive, marks on the same image."""
    file = folder / "source.dcm"
    source.save_as(file, enforce_file_format=True)
    command = [sys.executable, "-m", "dicom_node", "infer", str(file), "--out", str(folder / "out")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return mask(dcmread(folder / "out" / source.SOPInstanceUID / "seg.dcm"))


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks: two runs of a network may round one edge pixel differently."""
    return float(np.sum(one & other) / np.sum(one | other))


def mask(seg: Dataset) -> NDArray[np.bool_]:
    """(rows, columns): every segment's and frame's mask together."""
    frames = seg.pixel_array.astype(bool)
    return frames if frames.ndim == 2 else np.any(frames, axis=0)


def regions_of(report: Dataset) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Of each region in an SR: SOP Instance UID of the image that it lies on, and its points (n, 2; column, row)."""
    for item in _below(report):
        if item.ValueType == "SCOORD":
            [image] = item.ContentSequence[0].ReferencedSOPSequence
            yield str(image.ReferencedSOPInstanceUID), np.reshape(item.GraphicData, (-1, 2))


def measurements_of(report: Dataset) -> Iterator[tuple[str, float, str]]:
    """Name, value and unit of each number in an SR."""
    for item in _below(report):
        if item.ValueType == "NUM":
            [value] = item.MeasuredValueSequence
            [unit] = value.MeasurementUnitsCodeSequence
            yield item.ConceptNameCodeSequence[0].CodeMeaning, float(value.NumericValue), unit.CodeValue


def _below(item: Dataset) -> Iterator[Dataset]:
    for each in item.get("ContentSequence", ()):
        yield each
        yield from _below(each)
