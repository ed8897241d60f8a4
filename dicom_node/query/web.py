"""Asking by QIDO-RS, and fetching by WADO-RS (PS3.18 10.6, 10.4)."""

from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset

from dicom_node.dicomweb.service import DICOMwebService
from dicom_node.errors import Refused
from dicom_node.peer import PeerSection
from dicom_node.query.archive import HeldInstance, HeldStudy

_ISSUER = "00100021"


class WebArchive:
    """One peer with a DICOMweb address."""

    def __init__(self, peer: PeerSection, *, connect_timeout: float, response_timeout: float) -> None:
        self._peer = peer
        self._connect_timeout = connect_timeout
        self._response_timeout = response_timeout

    def instances(self, study_instance_uid: str) -> tuple[HeldInstance, ...]:
        """See Archive.instances. Raises ConfigurationError, too, for a secret that is not there."""
        with self._service() as service:
            found = service.instances(study_instance_uid)
        return tuple(
            _instance(item, study_instance_uid)
            for item in found
            if _value(item, "0020000E") and _value(item, "00080018")
        )

    def whereabouts(self, sop_instance_uid: str) -> tuple[HeldInstance, ...]:
        """See Archive.whereabouts."""
        with self._service() as service:
            try:
                found = service.whereabouts(sop_instance_uid)
            except Refused:  # searching across studies is not for every service
                return ()
        return tuple(
            _instance(item, _value(item, "0020000D"))
            for item in found
            if _value(item, "0020000D") and _value(item, "00080018") == sop_instance_uid
        )

    def study(self, study_instance_uid: str) -> HeldStudy | None:
        """See Archive.study. Raises ConfigurationError, too, for a secret that is not there."""
        found = self._studies(StudyInstanceUID=study_instance_uid)
        return next((each for each in found if each.study_instance_uid == study_instance_uid), None)

    def studies(self, first_day: str, last_day: str) -> tuple[HeldStudy, ...]:
        """See Archive.studies. Raises ConfigurationError, too, for a secret that is not there."""
        return self._studies(StudyDate=f"{first_day}-{last_day}")

    def _studies(self, **filters: str) -> tuple[HeldStudy, ...]:
        with self._service() as service:
            # one that is no required key of QIDO-RS (PS3.18 Table 10.6.3-3)
            return tuple(_study(item) for item in service.studies(filters, [_ISSUER]))

    def retrieve(self, instance: HeldInstance) -> Dataset:
        """One instance as the archive keeps it. Raises Refused, PeerUnavailable, ConfigurationError."""
        with self._service() as service:
            return service.retrieve(
                instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid
            )

    def file(self, instance: HeldInstance) -> bytes:
        """One instance as the PS3.10 file that the archive keeps, never parsed. Raises what retrieve() does."""
        with self._service() as service:
            return service.file(instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid)

    def rendered(self, instance: HeldInstance) -> bytes:
        """One instance as the archive itself draws it, PNG. Raises what retrieve() does."""
        with self._service() as service:
            return service.rendered(
                instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid
            )

    def _service(self) -> DICOMwebService:
        return DICOMwebService(
            self._peer, connect_timeout=self._connect_timeout, response_timeout=self._response_timeout
        )


def _instance(item: Mapping[str, Any], study_instance_uid: str) -> HeldInstance:
    return HeldInstance(
        study_instance_uid=study_instance_uid,
        series_instance_uid=_value(item, "0020000E"),
        sop_instance_uid=_value(item, "00080018"),
        sop_class_uid=_value(item, "00080016"),
    )


def _study(item: Mapping[str, Any]) -> HeldStudy:
    return HeldStudy(
        study_instance_uid=_value(item, "0020000D"),
        patient_id=_told(item, "00100020"),
        issuer_of_patient_id=_told(item, _ISSUER),
        accession_number=_told(item, "00080050"),
        study_date=_value(item, "00080020"),
        study_time=_value(item, "00080030"),
        modalities=tuple(str(each) for each in item.get("00080061", {}).get("Value") or ()),
    )


def _told(item: Mapping[str, Any], tag: str) -> str | None:
    """A value, empty too; None: the service does not know the key."""
    return _value(item, tag).strip() if tag in item else None


def _value(item: Mapping[str, Any], tag: str) -> str:
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])
