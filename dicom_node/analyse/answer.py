"""One request, answered: what the header says and whether it is read, then the film. Runs in the child."""

import base64
import socket
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pydicom.config
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from dicom_node.analyse import wire
from dicom_node.analyse.headers import text
from dicom_node.analyse.parse import parse_header, read_film, spacing_mm
from dicom_node.analyse.picture import picture_digest
from dicom_node.analyse.rejection import Rejection, rejection
from dicom_node.analyse.select import select
from dicom_node.domain import Reason
from dicom_node.encode.identity import header_of
from dicom_node.errors import Unreadable
from dicom_node.sections import SelectSection
from model.contract import Film
from model.reduced import brought_down

#: pixels on the long side that are enough: the Secondary Capture has no more (encode.overlay), and the network looks
#: at far fewer
ENOUGH = 2048

_IDENTITY = {
    "sop_instance_uid": "SOPInstanceUID",
    "series_instance_uid": "SeriesInstanceUID",
    "study_instance_uid": "StudyInstanceUID",
    "patient_id": "PatientID",
    "issuer_of_patient_id": "IssuerOfPatientID",
    "accession_number": "AccessionNumber",
}

#: a message and the bytes that follow it
_Message = tuple[dict[str, Any], tuple[memoryview | bytes, ...]]


class Answerer:
    """Answers on `connection`; `setup` is the parent's first message."""

    def __init__(self, connection: socket.socket, setup: dict[str, Any]) -> None:
        # Real files are full of values that break their VR: they are read as they are, and here nobody reads a warning.
        pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
        pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
        warnings.simplefilter("ignore")
        self._connection = connection
        self._rules = SelectSection.model_validate(setup["select"])

    def answer(self, request: dict[str, Any]) -> None:
        """Send the header's message and, unless that says why it is not read, the film's with its bytes.

        Each is sent as soon as it is known: should the pixels kill the process, the header has been told already.
        """
        for message, payloads in self._messages(request):
            wire.send(self._connection, message, *payloads)

    def _messages(self, request: dict[str, Any]) -> Iterator[_Message]:
        try:
            with Path(request["path"]).open("rb") as file:
                parsed = parse_header(file)
                message = _header_message(parsed.header)
                if (note := rejection(parsed.header)) is not None:
                    yield message | _note_message(note), ()
                    return
                verdict = select(
                    parsed.header,
                    self._rules,
                    calling_ae_title=request["calling_ae_title"],
                    arrived=date.fromisoformat(request["arrived"]),
                )
                yield message | {"reason": verdict.reason, "detail": verdict.detail}, ()
                if verdict.reason is None:
                    yield _film_message(read_film(parsed, enough=ENOUGH if request["reduced"] else None))
        except OSError as error:
            if error.errno is None:  # no disk's: pydicom raises it of fragments that make no sense
                yield {"reason": Reason.DECODE_FAILED, "detail": "it cannot be read (OSError)"}, ()
                return
            # not what is read but how: nothing is said of the file
            detail = f"it cannot be read from its disk ({error.strerror})"
            yield {"reason": Reason.NOT_DICOM, "detail": detail, "transient": True}, ()
        except Unreadable as error:
            yield {"reason": error.reason, "detail": error.detail}, ()
        except RecursionError:
            yield {"reason": Reason.DECODE_LIMIT, "detail": "its sequences are nested too deeply"}, ()
        except MemoryError:
            yield {"reason": Reason.DECODE_LIMIT, "detail": "it needs more memory than analyse.decode_memory"}, ()
        except Exception as error:  # noqa: BLE001 - the outermost loop of this process: a file that breaks it is a reason
            yield {"reason": Reason.DECODE_FAILED, "detail": f"it cannot be read ({type(error).__name__})"}, ()


def _header_message(header: Dataset) -> dict[str, Any]:
    # before anything else looks at the values: pydicom converts them in place, and the results copy the very octets
    octets = [_plain(element) for element in header_of(header).values() if isinstance(element, RawDataElement)]
    identity = {name: text(header, keyword) for name, keyword in _IDENTITY.items()}
    return {"header": octets, "identity": identity, "spacing_mm": spacing_mm(header)}


def _note_message(note: Rejection) -> dict[str, Any]:
    title = f"{note.title.value} ({note.title.name.lower().replace('_', ' ')})"
    return {
        "reason": Reason.REJECTION_NOTE,
        "detail": f"its title is {title}, objects that it names: {len(note.sop_instance_uids)}",
        "rejection": {"title": note.title.value, "sop_instance_uids": note.sop_instance_uids},
    }


def _plain(element: RawDataElement) -> tuple[int, str | None, str]:
    return int(element.tag), element.VR, base64.b64encode(element.value or b"").decode()


def _film_message(film: Film) -> _Message:
    # of what was decoded; the film goes through three processes, none of which needs more than enough of it
    digest = picture_digest(film)
    film = brought_down(film, ENOUGH)
    pixels = np.ascontiguousarray(film.pixels, dtype="<u2")
    valid = None if film.valid is None else np.packbits(film.valid).tobytes()
    rows, columns = pixels.shape
    message = {
        "rows": rows,
        "columns": columns,
        "has_valid": valid is not None,
        "window": film.window,
        "native": film.native,
        "picture_digest": digest,
    }
    return message, (pixels.data.cast("B"), valid or b"")
