"""The Grayscale Softcopy Presentation State (PS3.3 A.33.1): outlines that a classic PACS draws on the film itself."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from dicom_node.domain import Finding, Kind, Profile
from dicom_node.encode.colour import colour_of
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.contour import outlines
from dicom_node.encode.display import Window, add_grey_pipeline, add_shutter
from dicom_node.encode.equipment import ascii_text
from dicom_node.encode.finish import date_and_time, sign
from dicom_node.encode.identity import identity_key, read_text
from dicom_node.encode.sources import pixel_aspect, referenced_image
from dicom_node.encode.times import result_times
from dicom_node.encode.tracking import tracking
from dicom_node.encode.uids import image_uid, study_series_uid

#: shares of the film's long side: height of letters, and the size below which a region is framed to be seen
_LETTERS, _LEAST = 1 / 50, 1 / 60
#: width of a letter over its height
_LETTER_WIDTH = 0.6
#: the layer with what must be read beside the marks
_WARNING = "AI RESEARCH"
#: P-Value of white
_WHITE = 0xFFFF

#: left, top, right, bottom, in pixels of the film
Box = tuple[float, float, float, float]


def build_gsps(
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
    """A graphic layer a finding, and one that says what they are; the film is shown as it was, and as a whole.

    Nothing is flipped, turned or zoomed. Raises ValueError where there is nothing to draw.
    """
    del film_pixels
    if not any(finding.mask.any() for finding in findings):
        raise ValueError("a presentation state without a single line says nothing: ask kinds_for what to build")
    times = result_times(header, context.content_time)
    state = Dataset()
    state.SOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    state.SOPInstanceUID = image_uid("instance", kind=Kind.GSPS, profile=profile, context=context)
    state.Modality = "PR"
    state.SeriesInstanceUID = study_series_uid(identity_key(header), kind=Kind.GSPS, profile=profile, context=context)
    state.SeriesNumber = context.gsps_series_number
    state.SeriesDescription = ascii_text(context.gsps_description)
    sign(state, header, context, times)
    if "ImageComments" in state:
        # it is no image: what could not be copied is said with what was done, in VR ST
        done = state.ContributingEquipmentSequence[-1]
        done.ContributionDescription = f"{done.ContributionDescription}. {state.ImageComments}"[:1024]
        del state.ImageComments
    state.ContentLabel = "AI RESEARCH"
    state.ContentDescription = "Regions that look abnormal to an algorithm; research use only"
    state.ContentCreatorName = None
    state.PresentationCreationDate, state.PresentationCreationTime = date_and_time(times.content)
    series = Dataset()
    series.SeriesInstanceUID = read_text(header, "SeriesInstanceUID")
    series.ReferencedImageSequence = [referenced_image(header)]
    state.ReferencedSeriesSequence = [series]
    state.DisplayedAreaSelectionSequence = [_whole(film_shape, pixel_aspect(header))]
    _annotate(state, header, film_shape, findings, context)
    add_grey_pipeline(state, header, film_window)
    if film_valid is not None:
        add_shutter(state, header)
    return state


def _whole(shape: tuple[int, int], aspect: float) -> Dataset:
    """All of the film, as large as the screen allows (PS3.3 C.10.4); its pixels in the proportion of the source's."""
    item = Dataset()
    item.DisplayedAreaTopLeftHandCorner = [1, 1]
    item.DisplayedAreaBottomRightHandCorner = [shape[1], shape[0]]
    item.PresentationSizeMode = "SCALE TO FIT"
    proportion = Fraction(aspect).limit_denominator(1000)
    item.PresentationPixelAspectRatio = [proportion.numerator, proportion.denominator]
    return item


def _annotate(
    state: Dataset, header: Dataset, shape: tuple[int, int], findings: Sequence[Finding], context: EncodeContext
) -> None:
    """Graphic Annotation and Graphic Layer (PS3.3 C.10.5, C.10.7), in the order of the findings' numbers."""
    layers, annotations = [], []
    labels = _places(shape, findings)
    for number, finding in enumerate(findings, start=1):
        name = f"FINDING {number}"
        text = f"{number}  {finding.confidence:.2f}"
        layers.append(_layer(name, number, f"Abnormal region {number}, confidence {finding.confidence:.2f}"))
        annotation = Dataset()
        annotation.ReferencedImageSequence = [referenced_image(header)]
        annotation.GraphicLayer = name
        annotation.TextObjectSequence = [_text(text, labels[number - 1], units="PIXEL")]
        tracked = tracking(
            number,
            input_digest=context.input_digest,
            model_digest=context.model_digest,
            parameters=context.parameters,
        )
        lines = [_polyline(points) for points in _lines(shape, finding)]
        for line in lines:
            line.TrackingID, line.TrackingUID = tracked.identifier, tracked.uid
        if lines:
            annotation.GraphicObjectSequence = lines
        annotations.append(annotation)
    layers.append(_layer(_WARNING, len(findings) + 1, "What the marks are: research use only"))
    warning = Dataset()
    warning.ReferencedImageSequence = [referenced_image(header)]
    warning.GraphicLayer = _WARNING
    warning.TextObjectSequence = [_text(_warning_text(context), (0.01, 0.96, 0.99, 0.99), units="DISPLAY")]
    state.GraphicAnnotationSequence = [*annotations, warning]
    state.GraphicLayerSequence = layers


def _warning_text(context: EncodeContext) -> str:
    model = ascii_text(f"{context.algorithm_name} {context.algorithm_version}")
    more = f"; {context.not_shown} less confident not shown" if context.not_shown else ""
    return f"AI RESEARCH USE ONLY - not for diagnosis; {model}, threshold {context.threshold:.3g}{more}"


def _layer(name: str, order: int, description: str) -> Dataset:
    layer = Dataset()
    layer.GraphicLayer = name
    layer.GraphicLayerOrder = order
    layer.GraphicLayerRecommendedDisplayGrayscaleValue = _WHITE
    layer.GraphicLayerRecommendedDisplayCIELabValue = colour_of(order if name != _WARNING else 1).cielab_value
    layer.GraphicLayerDescription = description
    return layer


def _lines(shape: tuple[int, int], finding: Finding) -> Iterator[NDArray[np.float64]]:
    """What is drawn around `finding`: its outlines, and a square around one that would not be seen."""
    if not finding.mask.any():
        return
    for points in outlines(finding):
        yield points.astype(np.float64)
    left, top, right, bottom = _extent(finding)
    least = max(shape) * _LEAST
    if max(right - left, bottom - top) < least:
        x, y = (left + right) / 2, (top + bottom) / 2
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]) * 0.75 * least + (x, y)
        yield np.clip(corners, 0, (shape[1], shape[0]))


def _polyline(points: NDArray[np.float64]) -> Dataset:
    line = Dataset()
    line.GraphicAnnotationUnits = "PIXEL"
    line.GraphicDimensions = 2
    line.NumberOfGraphicPoints = len(points)
    line.GraphicData = points.astype(np.float32).ravel().tolist()
    line.GraphicType = "POLYLINE"
    line.GraphicFilled = "N"
    return line


def _text(text: str, box: Box, *, units: str) -> Dataset:
    item = Dataset()
    item.UnformattedTextValue = text
    item.BoundingBoxAnnotationUnits = units
    item.BoundingBoxTopLeftHandCorner = [np.float32(value).item() for value in box[:2]]
    item.BoundingBoxBottomRightHandCorner = [np.float32(value).item() for value in box[2:]]
    item.BoundingBoxTextHorizontalJustification = "LEFT"
    return item


def _places(shape: tuple[int, int], findings: Sequence[Finding]) -> list[Box]:
    """Where each number stands: above its region, else below or beside it, clear of other numbers where it can be."""
    rows, columns = shape
    high = min(max(shape) * _LETTERS, rows)
    wide = min(high * _LETTER_WIDTH * len("1  0.00"), columns)
    taken: list[Box] = []
    for finding in findings:
        left, top, right, bottom = _extent(finding)
        wanted = ((left, top - high), (left, bottom), (right, top), (left - wide, top))
        clamped = [(float(np.clip(x, 0, columns - wide)), float(np.clip(y, 0, rows - high))) for x, y in wanted]
        boxes: list[Box] = [(x, y, x + wide, y + high) for x, y in clamped]
        taken.append(min(boxes, key=lambda box: sum(_shared(box, other) for other in taken)))
    return taken


def _extent(finding: Finding) -> Box:
    """The smallest rectangle that holds the mask, or its window where the mask is empty."""
    rows, columns = np.nonzero(finding.mask if finding.mask.any() else np.ones_like(finding.mask))
    top, left = finding.mask_origin
    return left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1


def _shared(one: Box, other: Box) -> float:
    """The area that two boxes share."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)
