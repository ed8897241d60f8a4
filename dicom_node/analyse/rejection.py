"""Rejection notes (Key Object Selection, PS3.3 A.35.4; IHE RAD TF-3 4.66) that somebody sends: what they withdraw."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_node.analyse.headers import items, text
from dicom_node.domain import RejectionTitle

#: objects that one note may name: a study has thousands at most
MOST = 20_000
_UID = re.compile(r"[0-9.]{1,64}")
_TITLES = frozenset(title.value for title in RejectionTitle)


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """What a rejection note says."""

    title: RejectionTitle
    #: of what it names; at most MOST, each of digits and dots
    sop_instance_uids: tuple[str, ...]


def rejection(header: Dataset) -> Rejection | None:
    """What is rejected by the document with this header; None: it is no rejection note.

    What its content names counts (PS3.16 TID 2010), and its evidence where the content names nothing.
    """
    if text(header, "SOPClassUID") != KeyObjectSelectionDocumentStorage:
        return None
    title = next(items(header, "ConceptNameCodeSequence"), Dataset())
    code = text(title, "CodeValue")
    if text(title, "CodingSchemeDesignator") != "DCM" or code not in _TITLES:
        return None
    named = tuple(_named(items(header, "ContentSequence"))) or tuple(_named(_evidence(header)))
    return Rejection(title=RejectionTitle(code), sop_instance_uids=named)


def told(message: object) -> Rejection | None:
    """The rejection that a child told of, checked. Raises KeyError, TypeError, ValueError where it makes no sense."""
    if message is None:
        return None
    if not isinstance(message, dict):
        raise TypeError("a rejection is an object")
    uids = tuple(message["sop_instance_uids"])
    if len(uids) > MOST or not all(isinstance(uid, str) and _UID.fullmatch(uid) for uid in uids):
        raise ValueError("a rejection names UIDs")
    return Rejection(title=RejectionTitle(message["title"]), sop_instance_uids=uids)


def _evidence(header: Dataset) -> Iterator[Dataset]:
    for study in items(header, "CurrentRequestedProcedureEvidenceSequence"):
        yield from items(study, "ReferencedSeriesSequence")


def _named(holders: Iterator[Dataset]) -> Iterator[str]:
    references = (reference for holder in holders for reference in items(holder, "ReferencedSOPSequence"))
    for reference in islice(references, MOST):
        uid = text(reference, "ReferencedSOPInstanceUID")
        if _UID.fullmatch(uid):
            yield uid
