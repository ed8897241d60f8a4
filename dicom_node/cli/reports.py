"""The reports of `chexnode infer`: one a study, over all of its images that stand among the inputs."""

from collections import defaultdict
from collections.abc import Iterator

from dicom_node import __version__
from dicom_node.analyse.examination import Examination, Status
from dicom_node.domain import EncodedResult, Finding, Profile, Reason
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.equipment import ascii_text
from dicom_node.encode.identity import read_text
from dicom_node.encode.profiles import study_kinds_for
from dicom_node.encode.sr import build_report
from dicom_node.encode.sr_context import Fate, ReportContext, ReportedImage

_FATES = {Status.ANALYSED: Fate.ANALYSED, Status.DECLINED: Fate.DECLINED, Status.UNREADABLE: Fate.FAILED}


class StudyReports:
    """Takes images one by one; whose study is whole is known only after the last one."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._images: dict[str, list[ReportedImage]] = defaultdict(list)
        self._other_objects: dict[str, int] = defaultdict(int)

    def add(
        self, examination: Examination, digest: str, *, reading: EncodeContext | None, marked: tuple[Finding, ...]
    ) -> None:
        """One image; `reading` and `marked`: what its own results were made with. A file without header is nobody's."""
        header = examination.header
        if header is None or not read_text(header, "StudyInstanceUID"):
            return
        study = read_text(header, "StudyInstanceUID")
        if examination.reason is Reason.NOT_A_RADIOGRAPH:
            self._other_objects[study] += 1
            return
        if examination.reason is Reason.REJECTION_NOTE:
            return
        words = "" if examination.reason is None else examination.reason.value.replace("_", " ")
        because = f"{words} ({examination.detail})" if examination.detail and words else words
        self._images[study].append(
            ReportedImage(
                sop_class_uid=read_text(header, "SOPClassUID"),
                sop_instance_uid=read_text(header, "SOPInstanceUID"),
                input_digest=digest,
                header=header,
                fate=_FATES[examination.status],
                because=ascii_text(because, most=1024),
                reading=reading,
                findings=marked,
            )
        )

    def written(self) -> Iterator[tuple[str, EncodedResult]]:
        """Study Instance UID and report of each study of which an image was analysed."""
        for study, images in self._images.items():
            readings = [image.reading for image in images if image.reading is not None]
            any_findings = any(image.findings for image in images)
            if not readings or not study_kinds_for(self._profile, any_findings=any_findings):
                continue
            context = ReportContext(
                revision=1,
                other_objects=self._other_objects[study],
                # not the clock: the same files give the same bytes on every day
                content_time=max(reading.content_time for reading in readings),
                software_version=__version__,
            )
            yield study, build_report(self._profile, images=images, context=context)
