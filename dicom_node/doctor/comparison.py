"""What an archive gave back beside what it was sent: what it must not change, and what it changed all the same."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from pydicom import dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

_PIXELS = Tag("PixelData")
#: the encoding of the pixels, not the picture: another lossless transfer syntax has others (PS3.3 C.7.6.3)
_ENCODING = frozenset(map(Tag, ("PixelData", "PlanarConfiguration")))
#: what makes the object what it is: nobody coerces these in good faith
_SACRED = frozenset(
    map(
        Tag,
        (
            "SOPClassUID",
            "SOPInstanceUID",
            "StudyInstanceUID",
            "SeriesInstanceUID",
            "Rows",
            "Columns",
            "BitsAllocated",
            "BitsStored",
            "PhotometricInterpretation",
            "SegmentSequence",
            "SharedFunctionalGroupsSequence",
            "PerFrameFunctionalGroupsSequence",
            "ReferencedSeriesSequence",
            "SourceImageSequence",
            "ContentSequence",
            "GraphicAnnotationSequence",
            "ContentQualification",
            "BurnedInAnnotation",
        ),
    )
)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Keywords, never values: coerced ones may be a patient's."""

    #: changed or lost, and it must not be
    spoilt: str
    #: changed, lost or added, and it may be
    changed: str


def difference(sent: bytes, returned: Dataset) -> Difference:
    """Compare the PS3.10 file `sent` with what came back, whatever the transfer syntax that each is in."""
    original = dcmread(BytesIO(sent))
    # group length elements are gone since 2008, and some archives still write them
    tags = {tag for tag in (*original.keys(), *returned.keys()) if tag.element != 0}
    unlike = {tag for tag in tags - _ENCODING if original.get(tag) != returned.get(tag)}
    spoilt = [_name(tag) for tag in sorted(unlike & _SACRED)]
    if not _same_pixels(original, returned):
        spoilt.append("PixelData")
    return Difference(spoilt=", ".join(spoilt), changed=", ".join(_name(tag) for tag in sorted(unlike - _SACRED)))


def _same_pixels(original: Dataset, returned: Dataset) -> bool:
    if (_PIXELS in original) != (_PIXELS in returned):
        return False
    if _PIXELS not in original or original[_PIXELS].value == returned[_PIXELS].value:
        return True
    try:
        return bool(np.array_equal(original.pixel_array, returned.pixel_array))
    except (ValueError, AttributeError, RuntimeError, NotImplementedError):
        return False  # it cannot even be decoded


def _name(tag: BaseTag) -> str:
    return keyword_for_tag(tag) or str(tag)
