"""Asking by C-FIND, Study Root, level by level: no archive need answer relational queries (PS3.4 C.4.1.3); C-GET."""

from collections.abc import Sequence
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from dicom_node.dimse.association import OpenAssociation, Timeouts
from dicom_node.dimse.contexts import query_contexts, retrieval_contexts
from dicom_node.dimse.peers import open_peer
from dicom_node.query.archive import HeldInstance
from dicom_node.sections import PeerSection
from dicom_node.security import TLSSection


class DicomArchive:
    """One peer that may answer C-FIND."""

    def __init__(self, peer: PeerSection, *, calling: str, timeouts: Timeouts, tls: TLSSection | None = None) -> None:
        self._tls = tls or TLSSection()
        self._peer = peer
        self._calling = calling
        self._timeouts = timeouts

    def instances(self, study_instance_uid: str) -> tuple[HeldInstance, ...]:
        """See Archive.instances: one association, one query for the series and one for each of them."""
        with open_peer(
            self._peer,
            calling=self._calling,
            tls=self._tls,
            contexts=query_contexts(),
            timeouts=self._timeouts,
        ) as opened:
            series = _find(opened, "SERIES", StudyInstanceUID=study_instance_uid, SeriesInstanceUID="")
            return tuple(
                HeldInstance(
                    study_instance_uid=study_instance_uid,
                    series_instance_uid=str(one.SeriesInstanceUID),
                    sop_instance_uid=str(image.SOPInstanceUID),
                    sop_class_uid=str(image.get("SOPClassUID", "")),
                )
                for one in series
                for image in _find(
                    opened,
                    "IMAGE",
                    StudyInstanceUID=study_instance_uid,
                    SeriesInstanceUID=str(one.SeriesInstanceUID),
                    SOPInstanceUID="",
                    SOPClassUID="",
                )
            )

    def retrieve(self, instance: HeldInstance, transfer_syntax_uids: Sequence[str]) -> Dataset:
        """One instance by C-GET, in one of these transfer syntaxes; its `sop_class_uid` must be known.

        Raises Refused where the archive does not give it in this way, PeerUnavailable where it does not answer.
        """
        with open_peer(
            self._peer,
            calling=self._calling,
            tls=self._tls,
            contexts=retrieval_contexts((instance.sop_class_uid, syntax) for syntax in transfer_syntax_uids),
            provides=[instance.sop_class_uid],
            timeouts=self._timeouts,
        ) as opened:
            identifier = _identifier(
                "IMAGE",
                StudyInstanceUID=instance.study_instance_uid,
                SeriesInstanceUID=instance.series_instance_uid,
                SOPInstanceUID=instance.sop_instance_uid,
            )
            (file, *_) = opened.get(StudyRootQueryRetrieveInformationModelGet, identifier)
        return dcmread(BytesIO(file))


def _identifier(level: str, **keys: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def _find(opened: OpenAssociation, level: str, **keys: str) -> list[Dataset]:
    """Matches that name what they are; an archive that leaves out a unique key has said nothing."""
    unique = "SeriesInstanceUID" if level == "SERIES" else "SOPInstanceUID"
    matches = opened.find(StudyRootQueryRetrieveInformationModelFind, _identifier(level, **keys))
    return [match for match in matches if match.get(unique)]
