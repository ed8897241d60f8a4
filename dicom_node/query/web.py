"""Asking by QIDO-RS, and fetching by WADO-RS (PS3.18 10.6, 10.4)."""

from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset

from dicom_node.dicomweb.service import DICOMwebService
from dicom_node.query.archive import HeldInstance
from dicom_node.sections import PeerSection


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
            HeldInstance(
                study_instance_uid=study_instance_uid,
                series_instance_uid=_value(item, "0020000E"),
                sop_instance_uid=_value(item, "00080018"),
                sop_class_uid=_value(item, "00080016"),
            )
            for item in found
            if _value(item, "0020000E") and _value(item, "00080018")
        )

    def retrieve(self, instance: HeldInstance) -> Dataset:
        """One instance as the archive keeps it. Raises Refused, PeerUnavailable, ConfigurationError."""
        with self._service() as service:
            return service.retrieve(
                instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid
            )

    def _service(self) -> DICOMwebService:
        return DICOMwebService(
            self._peer, connect_timeout=self._connect_timeout, response_timeout=self._response_timeout
        )


def _value(item: Mapping[str, Any], tag: str) -> str:
    values = item.get(tag, {}).get("Value") or [""]
    return str(values[0])
