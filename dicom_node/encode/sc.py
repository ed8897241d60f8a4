"""The Secondary Capture (PS3.3 A.8.1): the film with outlines, the one overlay that every viewer shows."""

from collections.abc import Sequence

import numpy as np
from highdicom.sc import SCImage
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom_node.domain import Finding, Kind, Profile
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.display import Window
from dicom_node.encode.equipment import ascii_text
from dicom_node.encode.finish import date_and_time, finish
from dicom_node.encode.identity import identity_key
from dicom_node.encode.marks import MANUFACTURER
from dicom_node.encode.overlay import footer_lines, render_overlay
from dicom_node.encode.profiles import PROFILES
from dicom_node.encode.sources import code_item, pixel_aspect, result_instance_number
from dicom_node.encode.times import result_times
from dicom_node.encode.uids import image_uid, study_series_uid


def build_sc(
    profile: Profile,
    *,
    header: Dataset,
    film_pixels: NDArray[np.uint16],
    film_shape: tuple[int, int],
    film_valid: NDArray[np.bool_] | None,
    film_window: Window | None,
    findings: Sequence[Finding],
    context: EncodeContext,
) -> Dataset:
    """The picture of `findings`, or of none, with square pixels: 8-bit MONOCHROME2, or RGB where `profile` wants it.

    It carries no pixel spacing: it is no picture to measure on. Series Date and Time are absent, for its series
    belongs to the study and a later image joins it.
    """
    del film_window
    colour = PROFILES[profile].sc_colour
    picture = render_overlay(
        film_pixels,
        findings,
        footer_lines(context, marks=len(findings)),
        film_shape=film_shape,
        film_valid=film_valid,
        pixel_aspect=pixel_aspect(header),
        colour=colour,
    )
    times = result_times(header, context.content_time)
    result: Dataset = SCImage(
        pixel_array=picture,
        photometric_interpretation="RGB" if colour else "MONOCHROME2",
        bits_allocated=8,
        coordinate_system="PATIENT",
        # highdicom wants one; `finish` puts the source's in its place, or none
        patient_orientation=("L", "F"),
        study_instance_uid="2.25.1",
        series_instance_uid=study_series_uid(identity_key(header), kind=Kind.SC, profile=profile, context=context),
        series_number=context.sc_series_number,
        sop_instance_uid=image_uid("instance", kind=Kind.SC, profile=profile, context=context),
        instance_number=result_instance_number(header),
        manufacturer=MANUFACTURER,
        series_description=ascii_text(context.sc_description),
    )
    result["PixelData"].VR = "OB"
    finish(result, header, context, times)
    result.ConversionType = "WSD"
    result.DateOfSecondaryCapture, result.TimeOfSecondaryCapture = date_and_time(times.content)
    result.BurnedInAnnotation = "NO"
    result.DerivationDescription = "Outlines of regions that look abnormal, drawn on the film as displayed"
    result.DerivationCodeSequence = [code_item(codes.DCM.SpatialResampling)]
    if not colour:
        # the values are to be shown as they are: without a window some viewers stretch them to their extremes
        result.WindowCenter, result.WindowWidth = "128", "256"
        result.PresentationLUTShape = "IDENTITY"
    return result
