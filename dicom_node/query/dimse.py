"""Asking by C-FIND, Study Root, level by level: no archive need answer relational queries (PS3.4 C.4.1.3); C-GET and
C-MOVE."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom_node.dimse.association import OpenAssociation, Timeouts
from dicom_node.dimse.contexts import move_contexts, query_contexts, retrieval_contexts
from dicom_node.dimse.peers import open_peer
from dicom_node.errors import Refused
from dicom_node.peer import PeerSection
from dicom_node.query.archive import HeldInstance, HeldStudy
from dicom_node.security import TLSSection

#: the key by which a match of a level says what it is (PS3.4 Table C.6.2-1)
_UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
#: what is asked of a study
_STUDY_KEYS = (
    "PatientID",
    "IssuerOfPatientID",
    "AccessionNumber",
    "StudyDate",
    "StudyTime",
    "ModalitiesInStudy",
)


class DicomArchive:
    """One peer that may answer C-FIND."""

    def __init__(self, peer: PeerSection, *, calling: str, timeouts: Timeouts, tls: TLSSection | None = None) -> None:
        self._tls = tls or TLSSection()
        self._peer = peer
        self._calling = calling
        self._timeouts = timeouts

    def study(self, study_instance_uid: str) -> HeldStudy | None:
        """See Archive.study."""
        keys = dict.fromkeys(_STUDY_KEYS, "")
        found = self._find("STUDY", StudyInstanceUID=study_instance_uid, **keys)
        return next((_study(match) for match in found if match.StudyInstanceUID == study_instance_uid), None)

    def studies(self, first_day: str, last_day: str) -> tuple[HeldStudy, ...]:
        """See Archive.studies: by range matching of StudyDate (PS3.4 C.2.2.2.5)."""
        keys = dict.fromkeys(_STUDY_KEYS, "") | {"StudyDate": f"{first_day}-{last_day}"}
        return tuple(_study(match) for match in self._find("STUDY", StudyInstanceUID="", **keys))

    def whereabouts(self, sop_instance_uid: str) -> tuple[HeldInstance, ...]:
        """See Archive.whereabouts: a relational query, which an archive may refuse to answer."""
        keys = {"StudyInstanceUID": "", "SeriesInstanceUID": "", "SOPClassUID": ""}
        try:
            found = self._find("IMAGE", SOPInstanceUID=sop_instance_uid, **keys)
        except Refused:
            return ()
        return tuple(
            HeldInstance(
                study_instance_uid=str(match.StudyInstanceUID),
                series_instance_uid=str(match.get("SeriesInstanceUID", "")),
                sop_instance_uid=sop_instance_uid,
                sop_class_uid=str(match.get("SOPClassUID", "")),
            )
            for match in found
            if match.SOPInstanceUID == sop_instance_uid and match.get("StudyInstanceUID")
        )

    def instances(self, study_instance_uid: str) -> tuple[HeldInstance, ...]:
        """See Archive.instances: one association, one query for the series and one for each of them."""
        with self._asking() as opened:
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
            (file, *_) = opened.get(StudyRootQueryRetrieveInformationModelGet, _one(instance))
        return dcmread(BytesIO(file))

    def send(self, instances: Sequence[HeldInstance], *, to: str) -> None:
        """Have the archive store these instances at `to`, an AE title that it knows (C-MOVE, PS3.4 C.4.2).

        It does so over an association of its own, before it answers. Raises Refused where it does not do that, or not
        for all of them, PeerUnavailable where it does not answer.
        """
        with open_peer(
            self._peer,
            calling=self._calling,
            tls=self._tls,
            contexts=move_contexts(),
            timeouts=self._timeouts,
        ) as opened:
            for instance in instances:
                opened.move(StudyRootQueryRetrieveInformationModelMove, _one(instance), destination=to)

    def _find(self, level: str, **keys: str) -> list[Dataset]:
        with self._asking() as opened:
            return _find(opened, level, **keys)

    def _asking(self) -> AbstractContextManager[OpenAssociation]:
        return open_peer(
            self._peer,
            calling=self._calling,
            tls=self._tls,
            contexts=query_contexts(),
            timeouts=self._timeouts,
        )


def _study(match: Dataset) -> HeldStudy:
    modalities = match.get("ModalitiesInStudy") or ()
    return HeldStudy(
        study_instance_uid=str(match.StudyInstanceUID),
        patient_id=_told(match, "PatientID"),
        issuer_of_patient_id=_told(match, "IssuerOfPatientID"),
        accession_number=_told(match, "AccessionNumber"),
        study_date=str(match.get("StudyDate") or ""),
        study_time=str(match.get("StudyTime") or ""),
        modalities=(modalities,) if isinstance(modalities, str) else tuple(str(each) for each in modalities),
    )


def _told(match: Dataset, keyword: str) -> str | None:
    """A value, empty too; None: the archive does not know the key."""
    return str(match.get(keyword) or "").strip() if keyword in match else None


def _one(instance: HeldInstance) -> Dataset:
    return _identifier(
        "IMAGE",
        StudyInstanceUID=instance.study_instance_uid,
        SeriesInstanceUID=instance.series_instance_uid,
        SOPInstanceUID=instance.sop_instance_uid,
    )


def _identifier(level: str, **keys: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def _find(opened: OpenAssociation, level: str, **keys: str) -> list[Dataset]:
    """Matches that name what they are; an archive that leaves out a unique key has said nothing."""
    matches = opened.find(StudyRootQueryRetrieveInformationModelFind, _identifier(level, **keys))
    return [match for match in matches if match.get(_UNIQUE[level])]
