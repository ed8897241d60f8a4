"""How a film is displayed, said in a presentation state: the grey pipeline of PS3.4 N.2, and the shutter.

A presentation state replaces what its image says: a Modality LUT, a window or a shutter that it leaves out is not
applied at all. So all of it is repeated, and says what the film was made with, polarity included: Photometric
Interpretation of the image is not looked at any more (PS3.3 A.33.1.3.1).
"""

import math
import re
import warnings

from pydicom.dataset import Dataset

from dicom_node.encode.elements import MALFORMED, CannotCarry, element
from dicom_node.encode.identity import read_text, tag_of

#: centre, width and VOI LUT Function (PS3.3 C.11.2.1.2)
Window = tuple[float, float, str]

_EDGES = (
    "ShutterLeftVerticalEdge",
    "ShutterRightVerticalEdge",
    "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge",
)


def add_grey_pipeline(state: Dataset, header: Dataset, window: Window | None) -> None:
    """Modality LUT, Softcopy VOI LUT and Softcopy Presentation LUT of `state` (PS3.3 C.11.1, C.11.8, C.11.6).

    `window` is the one that the film is displayed with; None: the VOI LUT of `header`, or else its first window. What
    is malformed there is left out, as the film did.
    """
    signed = read_text(header, "PixelRepresentation") == "\1"
    modality = _lut_item(header, "ModalityLUTSequence", signed=signed)
    slope, intercept = _number(header, "RescaleSlope"), _number(header, "RescaleIntercept")
    if modality is not None:
        modality.ModalityLUTType = "US"
        state.ModalityLUTSequence = [modality]
    elif slope is not None or intercept is not None:
        state.RescaleIntercept = _ds(intercept or 0.0)
        state.RescaleSlope = _ds(slope or 1.0)
        state.RescaleType = "US"
    voi = Dataset()
    # what comes out of a Modality LUT Sequence has no sign, what was rescaled may have one
    table = _lut_item(header, "VOILUTSequence", signed=modality is None and (signed or (intercept or 0) < 0))
    if window is None and table is None:
        window = _first_window(header)
    if window is not None:
        voi.WindowCenter, voi.WindowWidth = _ds(window[0]), _ds(window[1])
        if window[2] != "LINEAR":
            voi.VOILUTFunction = window[2]
    elif table is not None:
        voi.VOILUTSequence = [table]
    if len(voi):
        state.SoftcopyVOILUTSequence = [voi]
    inverted = "MONOCHROME1" in read_text(header, "PhotometricInterpretation") or (
        read_text(header, "PresentationLUTShape") == "INVERSE"
    )
    state.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"


def add_shutter(state: Dataset, header: Dataset) -> None:
    """The Display Shutter (PS3.3 C.7.6.11) of `header`, as far as it is well formed, black outside."""
    shapes = []
    edges = {keyword: _integers(header, keyword) for keyword in _EDGES}
    centre, radius = _integers(header, "CenterOfCircularShutter"), _integers(header, "RadiusOfCircularShutter")
    vertices = _integers(header, "VerticesOfThePolygonalShutter")
    for shape in read_text(header, "ShutterShape").split("\\"):
        match shape.strip():
            case "RECTANGULAR" if all(len(edge) == 1 for edge in edges.values()):
                for keyword, edge in edges.items():
                    setattr(state, keyword, edge[0])
            case "CIRCULAR" if len(centre) == 2 and len(radius) == 1:
                state.CenterOfCircularShutter, state.RadiusOfCircularShutter = list(centre), radius[0]
            case "POLYGONAL" if len(vertices) >= 6 and len(vertices) % 2 == 0:
                state.VerticesOfThePolygonalShutter = list(vertices)
            case _:
                continue
        shapes.append(shape.strip())
    if shapes:
        state.ShutterShape = shapes
        state.ShutterPresentationValue = 0


def _lut_item(header: Dataset, keyword: str, *, signed: bool) -> Dataset | None:
    """The first item of a LUT sequence, its entries two octets each; None where it is none (PS3.3 C.11.1.1)."""
    charset = ["iso8859"]
    try:
        with warnings.catch_warnings():
            # pydicom warns of what is odd in it, and only octets are taken from it
            warnings.simplefilter("ignore")
            items = header.get(keyword)
            if not items:
                return None
            descriptor = element(items[0], tag_of("LUTDescriptor"), charset=charset).value
            data = element(items[0], tag_of("LUTData"), charset=charset).value
    except (*MALFORMED, CannotCarry):
        return None
    if len(descriptor) != 6:
        return None
    entries, first, bits = (int.from_bytes(descriptor[i : i + 2], "little") for i in (0, 2, 4))
    count = entries or 1 << 16
    if bits <= 8 and len(data) < 2 * count:
        # packed, one octet an entry
        data = b"".join(bytes((octet, 0)) for octet in data)
    if not 1 <= bits <= 16 or len(data) < 2 * count:
        return None
    if signed:
        # the same 16 bits, read as VR SS
        entries, first = (value - (1 << 16 if value > 0x7FFF else 0) for value in (entries, first))
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [entries, first, bits])
    item.add_new("LUTData", "OW", data[: 2 * count])
    return item


def _first_window(header: Dataset) -> Window | None:
    centre, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    if centre is None or width is None or width < 1:
        return None
    function = read_text(header, "VOILUTFunction")
    return centre, width, function if function in ("LINEAR_EXACT", "SIGMOID") else "LINEAR"


def _number(header: Dataset, keyword: str) -> float | None:
    """The first of one or several decimal strings, if it is a finite number."""
    try:
        number = float(read_text(header, keyword).split("\\")[0])
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _integers(header: Dataset, keyword: str) -> tuple[int, ...]:
    """The values of an IS; () where one is no whole number."""
    parts = [part.strip() for part in read_text(header, keyword).split("\\")]
    return tuple(map(int, parts)) if all(re.fullmatch(r"[+-]?\d{1,9}", part, re.ASCII) for part in parts) else ()


def _ds(number: float) -> str:
    """VR DS: at most 16 characters (PS3.5 6.2)."""
    return f"{number:.10g}"
