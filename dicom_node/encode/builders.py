"""From findings to one result: the table kind -> builder."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.domain import EncodedResult, Finding, Kind, Profile
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.display import Window
from dicom_node.encode.gsps import build_gsps
from dicom_node.encode.identity import read_text
from dicom_node.encode.marks import ENCODER_VERSION
from dicom_node.encode.part10 import part10
from dicom_node.encode.sc import build_sc
from dicom_node.encode.seg import build_seg


class Builder(Protocol):
    """One kind's own part of `build`."""

    def __call__(
        self,
        profile: Profile,
        *,
        header: Dataset,
        film_pixels: NDArray[np.uint16],
        film_shape: tuple[int, int],
        film_valid: NDArray[np.bool_] | None,
        film_window: Window | None,
        findings: Sequence[Finding],
        context: EncodeContext,
    ) -> Dataset: ...


#: of the kinds that belong to one image
BUILDERS: Mapping[Kind, Builder] = {Kind.SEG: build_seg, Kind.SC: build_sc, Kind.GSPS: build_gsps}


def build(
    kind: Kind,
    profile: Profile,
    *,
    header: Dataset,
    film_pixels: NDArray[np.uint16],
    film_shape: tuple[int, int] | None = None,
    film_valid: NDArray[np.bool_] | None,
    film_window: Window | None = None,
    findings: Sequence[Finding],
    context: EncodeContext,
) -> EncodedResult:
    """One object of one image, complete. The same arguments give the same bytes, on every day and host.

    `header` holds the source's HEADER_KEYWORDS (more does no harm); it is not changed. `film_pixels` is
    (rows, columns), 0 = black as displayed, of a source of `film_shape`, none: of just that size; `film_valid` is False
    where there is no picture; `film_window` is the one that it is displayed with, None for the VOI LUT of the header;
    `findings` are those to show (see `findings.shown`), in the order of their numbers and in pixels of the source. A
    value of the header that breaks its VR is carried as it is; one that cannot be written is left out and named in
    Image Comments. Raises ValueError for a header without study or SOP instance, for a mask outside the film, for a
    SEG or a GSPS of nothing.
    """
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        if not read_text(header, keyword):
            raise ValueError(f"the source's header has no {keyword}: a result would belong to no image")
    with warnings.catch_warnings():
        # pydicom warns of each malformed UID that a reference repeats on purpose
        warnings.filterwarnings("ignore", message="Invalid value for VR|The value length")
        result = BUILDERS[kind](
            profile,
            header=header,
            film_pixels=film_pixels,
            film_shape=film_shape or (film_pixels.shape[0], film_pixels.shape[1]),
            film_valid=film_valid,
            film_window=film_window,
            findings=findings,
            context=context,
        )
        data = part10(result)
    return EncodedResult(
        kind=kind,
        profile=profile,
        sop_class_uid=str(result.SOPClassUID),
        sop_instance_uid=str(result.SOPInstanceUID),
        series_instance_uid=str(result.SeriesInstanceUID),
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        encoder_version=ENCODER_VERSION,
        data=data,
    )
