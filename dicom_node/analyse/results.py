"""One examined image to its encoded objects, per profile; for the worker and for `chexnode infer` alike."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydicom.dataset import Dataset

from dicom_node import __version__
from dicom_node.config import Settings
from dicom_node.domain import EncodedResult, Finding, Profile, Reason
from dicom_node.encode.builders import build
from dicom_node.encode.context import EncodeContext
from dicom_node.encode.findings import shown
from dicom_node.encode.identity import read_text
from dicom_node.encode.profiles import kinds_for
from dicom_node.errors import ConfigurationError, Unreadable
from dicom_node.parameters import parameters_digest
from dicom_node.sections import ModelSection, ResultsSection
from model.contract import Film, Manifest

#: without these a result would refer to no image, and belong to no study
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


class Algorithm(Protocol):
    """What a result says of the model that looked at its image; a Manifest knows it, and the ledger afterwards."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def family(self) -> tuple[str, str, str]: ...
    @property
    def operating_point(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What all results of one model under the same settings have in common."""

    manifest: Algorithm
    model: ModelSection
    results: ResultsSection
    #: digest of the settings that change what is read and marked, 64 hex digits
    parameters: str

    @property
    def threshold(self) -> float:
        """Confidence from which a finding is drawn."""
        return self.manifest.operating_point if self.model.threshold is None else self.model.threshold

    def shown(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """The findings that are drawn, the most confident first."""
        return shown(findings, self.threshold, self.model.most_findings)

    def context(self, findings: Sequence[Finding], *, input_digest: str, content_time: datetime) -> EncodeContext:
        """What the builders are told besides picture and findings; `input_digest` is that of the data set."""
        above = sum(finding.confidence >= self.threshold for finding in findings)
        return EncodeContext(
            algorithm_name=self.manifest.name,
            algorithm_version=self.manifest.version,
            algorithm_family=self.manifest.family,
            model_digest=self.manifest.digest,
            parameters=self.parameters,
            threshold=self.threshold,
            not_shown=above - len(self.shown(findings)),
            input_digest=input_digest,
            content_time=content_time,
            software_version=__version__,
            seg_description=self.results.seg_description,
            sc_description=self.results.sc_description,
            gsps_description=self.results.gsps_description,
            seg_series_number=self.results.seg_series_number,
            sc_series_number=self.results.sc_series_number,
            gsps_series_number=self.results.gsps_series_number,
        )

    def encode(
        self,
        profiles: Iterable[Profile],
        *,
        header: Dataset,
        film: Film,
        findings: Sequence[Finding],
        input_digest: str,
        content_time: datetime,
    ) -> Iterator[EncodedResult]:
        """Every object of one image, profile by profile. Raises Unreadable where its header names no instance."""
        for keyword in _NEEDED:
            if not read_text(header, keyword):
                raise Unreadable(Reason.NOT_DICOM, f"it has no {keyword}: a result could not refer to it")
        drawn = self.shown(findings)
        context = self.context(findings, input_digest=input_digest, content_time=content_time)
        for profile in profiles:
            for kind in kinds_for(profile, any_findings=bool(drawn), clean=self.results.clean):
                yield build(
                    kind,
                    profile,
                    header=header,
                    film_pixels=film.pixels,
                    film_shape=film.shape,
                    film_valid=film.valid,
                    film_window=film.window,
                    findings=drawn,
                    context=context,
                )


def encoding_for(settings: Settings, manifest: Manifest, calling_ae_title: str) -> Encoding:
    """How images that `calling_ae_title` sent are encoded."""
    return Encoding(
        manifest=manifest,
        model=settings.model_for(calling_ae_title),
        results=settings.results,
        parameters=parameters_digest(settings, calling_ae_title),
    )


def require_thresholds(settings: Settings, manifest: Manifest) -> None:
    """Refuse an operating point, the node's or a source's, at which the model was never validated.

    Raises ConfigurationError, naming the key.
    """
    require_threshold(settings.model, manifest)
    for peer in settings.sources:
        if peer.threshold is not None:
            require_threshold(settings.model_for(peer.ae_title), manifest, key=f"peers.{peer.name}.threshold")


def require_threshold(model: ModelSection, manifest: Manifest, *, key: str = "model.threshold") -> None:
    """Refuse an operating point at which the model was never validated. Raises ConfigurationError naming `key`."""
    low, high = manifest.validated_range
    if model.threshold is not None and not low <= model.threshold <= high:
        raise ConfigurationError(
            f"{key} is {model.threshold:g}, but {manifest.name} {manifest.version} was validated from "
            f"{low:g} to {high:g}: choose one in between, or none for its own, {manifest.operating_point:g}"
        )
