"""What came back to the archive: read, measured against what should have, and made into a picture."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from pydicom import Dataset, dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from scipy import ndimage

from dicom_node.demo.archive import Archive, Kept
from dicom_node.demo.chest import Planted
from dicom_node.demo.node import AE_TITLE
from dicom_node.demo.studies import Study
from dicom_node.domain import Kind

_KINDS = {
    str(SegmentationStorage): Kind.SEG,
    str(SecondaryCaptureImageStorage): Kind.SC,
    str(MultiFrameTrueColorSecondaryCaptureImageStorage): Kind.SC,
    str(GrayscaleSoftcopyPresentationStateStorage): Kind.GSPS,
    str(ComprehensiveSRStorage): Kind.SR,
    str(Comprehensive3DSRStorage): Kind.SR,
}
#: share of a planted opacity's box, or of the mark's, by which both must overlap: intersection over union
LEAST_OVERLAP = 0.25

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Returned:
    """One result that the archive holds."""

    kind: Kind
    kept: Kept
    #: SOP Instance UID of the image that it is about; empty where it names none
    source: str


def results_of(archive: Archive, study_instance_uid: str) -> list[Returned]:
    """Every result in the archive's study that came from the node, in order of arrival."""
    return [
        Returned(kind=_KINDS[kept.sop_class_uid], kept=kept, source=_source(kept.path))
        for kept in archive.held(study=study_instance_uid)
        if kept.calling_ae_title == AE_TITLE and kept.sop_class_uid in _KINDS
    ]


def marks_of(seg: Returned) -> list[Box]:
    """The connected regions of a SEG, as boxes (x0, y0, x1, y1) in its pixels."""
    labelled, _ = ndimage.label(_any_frame(dcmread(seg.kept.path)))
    return [(float(c.start), float(r.start), float(c.stop), float(r.stop)) for r, c in ndimage.find_objects(labelled)]


def overlay(capture: Returned, path: Path) -> Path:
    """Write the picture of a Secondary Capture to `path` (PNG)."""
    Picture.fromarray(dcmread(capture.kept.path).pixel_array).save(path)
    return path


def complaints(study: Study, results: list[Returned], reasons: list[str]) -> list[str]:
    """What should have come back and did not, or the other way round, in plain words; `reasons` are the node's."""
    expected = study.expected
    if expected is None:
        return []
    came = frozenset(result.kind for result in results)
    said = []
    if missing := expected.kinds - came:
        said.append(f"{study.label}: no {' and no '.join(sorted(k.upper() for k in missing))} came back")
    if surplus := came - expected.kinds:
        said.append(
            f"{study.label}: {' and '.join(sorted(k.upper() for k in surplus))} came back, nothing is there to mark"
        )
    if expected.reason is not None and expected.reason not in reasons:
        told = ", ".join(reasons) or "none"
        said.append(f"{study.label}: should have been declined as {expected.reason}, the node's reason is {told}")
    if not missing:
        for image in study.images:
            marks = [
                box for r in results if r.kind is Kind.SEG and r.source == image.sop_instance_uid for box in marks_of(r)
            ]
            said += [_unmarked(study, planted) for planted in image.planted if not is_marked(planted, marks)]
    return said


def is_marked(planted: Planted, marks: list[Box]) -> bool:
    """Whether one of `marks` is about this opacity: its centre inside, or overlap enough."""
    return any(_inside(_centre(mark), planted.box) or overlap(mark, planted.box) >= LEAST_OVERLAP for mark in marks)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / (_area(one) + _area(other) - wide * high)


def _unmarked(study: Study, planted: Planted) -> str:
    at = ", ".join(f"{v:.0f}" for v in planted.box)
    return f"{study.label}: the {planted.kind} planted at ({at}) is not marked"


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _inside(point: tuple[float, float], box: Box) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _any_frame(seg: Dataset) -> NDArray[np.bool_]:
    frames = seg.pixel_array > 0
    return np.asarray(frames if frames.ndim == 2 else frames.any(0), np.bool_)


def _source(path: Path) -> str:
    """The source image by Source Image Sequence, or by the Derivation Image of a SEG's frame (PS3.3 C.7.6.16.2.6)."""
    ds = dcmread(path, stop_before_pixels=True)
    items = list(ds.get("SourceImageSequence", []))
    for group in (*ds.get("SharedFunctionalGroupsSequence", []), *ds.get("PerFrameFunctionalGroupsSequence", [])):
        for derivation in group.get("DerivationImageSequence", []):
            items += derivation.get("SourceImageSequence", [])
    return str(items[0].ReferencedSOPInstanceUID) if items else ""
