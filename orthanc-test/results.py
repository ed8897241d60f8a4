"""What the archive holds of a study, sorted into sources and the node's results; and a node's own view of a mask."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from orthanc import Orthanc
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from dicom_node.encode.marks import is_result
from tests.waiting import wait_for


@dataclass(frozen=True, kw_only=True)
class Held:
    """One study as the archive holds it."""

    sources: tuple[Dataset, ...]
    segs: tuple[Dataset, ...]
    overlays: tuple[Dataset, ...]


def held(orthanc: Orthanc, study_instance_uid: str) -> Held:
    """Every object of the study, read over DICOMweb."""
    objects = orthanc.instances(study_instance_uid)
    results = [
        each for each in objects if is_result(each.get("Manufacturer", ""), each.get("ManufacturerModelName", ""))
    ]
    return Held(
        sources=tuple(each for each in objects if each not in results),
        segs=tuple(each for each in results if each.SOPClassUID == SegmentationStorage),
        overlays=tuple(each for each in results if each.SOPClassUID != SegmentationStorage),
    )


def wait_for_results(orthanc: Orthanc, study: str, *, segs: int, overlays: int, seconds: float = 90) -> Held:
    """The study, once so many results have come back."""

    def complete() -> Held | None:
        found = held(orthanc, study)
        return found if (len(found.segs), len(found.overlays)) == (segs, overlays) else None

    return wait_for(f"{segs} SEG and {overlays} overlays in the archive", complete, seconds=seconds, every=0.5)


def references(result: Dataset) -> set[str]:
    """SOP Instance UIDs of the images that a result says it was made from."""
    found: set[str] = set()
    for element in result.iterall():
        if element.keyword == "ReferencedSOPInstanceUID":
            found.add(str(element.value))
    return found


def predicted_mask(source: Dataset, folder: Path) -> NDArray[np.bool_]:
    """(rows, columns): what `chexnode infer`, which knows no archive, marks on the same image."""
    file = folder / "source.dcm"
    source.save_as(file, enforce_file_format=True)
    command = [sys.executable, "-m", "dicom_node.cli", "infer", str(file), "--out", str(folder / "out")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return mask(dcmread(folder / "out" / source.SOPInstanceUID / "seg.dcm"))


def mask(seg: Dataset) -> NDArray[np.bool_]:
    """(rows, columns): every segment's and frame's mask together."""
    frames = seg.pixel_array.astype(bool)
    return frames if frames.ndim == 2 else np.any(frames, axis=0)
