"""A file to a header, and to a film: what the child does with strangers' bytes. pydicom and `model` only."""

from dataclasses import dataclass
from io import BufferedReader
from typing import BinaryIO, cast

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import data_element_generator
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.analyse.headers import text, values
from dicom_node.domain import Reason
from dicom_node.encode.elements import MALFORMED
from dicom_node.errors import Unreadable
from model.contract import Film, FilmError
from model.film import film_from

#: what pydicom raises on files that break its rules; a disk that cannot be read is no such thing
_BROKEN = tuple(kind for kind in (*MALFORMED, EOFError) if kind is not OSError)
#: a read of more octets than this is checked against what the file still has, before memory is asked for
_LARGE = 1 << 16
_UNDEFINED = 0xFFFFFFFF
#: the codes of FilmError are those of Reason
_REASONS = {reason.value: reason for reason in Reason}


class Source:
    """A file that never allocates what a lying length claims: a read ends where the file ends."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.size = file.seek(0, 2)
        file.seek(0)

    def read(self, size: int = -1, /) -> bytes:
        if size > _LARGE:
            size = max(0, min(size, self.size - self._file.tell()))
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A header, and where the pixels begin."""

    header: FileDataset
    source: Source
    #: False: the file ended before any Pixel Data
    has_pixels: bool


def parse_header(file: BufferedReader) -> Parsed:
    """Read `file` (PS3.10, or a bare data set without preamble) as far as Pixel Data. Raises Unreadable."""
    source = Source(file)
    whole = _is_part10(source)
    try:
        _refuse_deflated(source, start=132 if whole else 0)
        source.seek(0)
        header = dcmread(source, stop_before_pixels=True, force=True)
    except RecursionError as error:
        raise Unreadable(Reason.DECODE_LIMIT, "its sequences are nested too deeply") from error
    except _BROKEN as error:
        raise Unreadable(Reason.NOT_DICOM, f"it cannot be parsed ({type(error).__name__})") from error
    if not whole and not (text(header, "SOPClassUID") or (text(header, "Modality") and "Rows" in header)):
        raise Unreadable(Reason.NOT_DICOM, "it has no DICOM preamble, and what it holds is no data set")
    _refuse_truncated(header)
    return Parsed(header=header, source=source, has_pixels=source.tell() < source.size)


def read_film(parsed: Parsed, *, enough: int | None = None) -> Film:
    """The film of a parsed file, its pixels decoded: all of them, unless `enough` on the long side will do.

    Raises Unreadable.
    """
    if not parsed.has_pixels:
        raise Unreadable(Reason.NO_PIXELS, "the data set has no Pixel Data")
    header = parsed.header
    implicit, little = header.original_encoding
    try:
        rest = _read(parsed.source, implicit=bool(implicit), little=little is not False)
    except EOFError as error:
        raise Unreadable(Reason.TRUNCATED, "the file ends within its Pixel Data") from error
    except _BROKEN as error:
        raise Unreadable(Reason.DECODE_FAILED, f"its Pixel Data cannot be parsed ({type(error).__name__})") from error
    _refuse_truncated(rest)
    header.update(rest)
    try:
        return film_from(header, enough=enough)
    except FilmError as error:
        raise Unreadable(_REASONS.get(error.code, Reason.DECODE_FAILED), str(error)) from error


def spacing_mm(header: Dataset) -> tuple[float, float] | None:
    """Distance of rows and distance of columns in mm, or None where the header does not say it believably.

    Pixel Spacing, where a calibration put it (PS3.3 10.7.1.1); else Imager Pixel Spacing, measured at the detector:
    a lesion lies before it, so lengths are overstated by the magnification, some 5 to 20 % (10.7.1.3), and areas by
    its square; else Nominal Scanned Pixel Spacing of a digitised film. [0, 0] and other nonsense say nothing.
    """
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        try:
            rows, columns = (float(value) for value in values(header, keyword))
        except ValueError:
            continue
        if 0.01 <= rows <= 10 and 0.01 <= columns <= 10:
            return rows, columns
    return None


def _is_part10(source: Source) -> bool:
    source.seek(128)
    return source.read(4) == b"DICM"


def _refuse_deflated(source: Source, *, start: int) -> None:
    """Before pydicom reads on: it would inflate all of it, and one MB can hold a thousand."""
    source.seek(start)
    meta = _read(source, implicit=False, little=True, only_group=2)
    if text(meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise Unreadable(Reason.UNSUPPORTED_TRANSFER_SYNTAX, "Deflated Explicit VR Little Endian is never taken")


def _read(source: Source, *, implicit: bool, little: bool, only_group: int | None = None) -> Dataset:
    """The elements from here on, or as far as a group goes. Raises MALFORMED, EOFError within an undefined length.

    Not read_dataset(): that guesses the VR by the first element, and takes 18,000 octets of Pixel Data for VR "PF".
    """
    stop = None if only_group is None else lambda tag, _vr, _length: tag >> 16 != only_group
    elements = data_element_generator(cast(BinaryIO, source), implicit, little, stop_when=stop)
    return Dataset({element.tag: element for element in elements})


def _refuse_truncated(dataset: Dataset) -> None:
    """pydicom takes what is there of a value that claims more; only the last one of a file can be short."""
    for element in dataset.values():
        if isinstance(element, RawDataElement) and element.length not in (0, _UNDEFINED):
            held = len(element.value or b"")
            if held < element.length:
                raise Unreadable(
                    Reason.TRUNCATED, f"{element.tag} claims {element.length} octets, the file holds {held} of them"
                )
