"""The run of `chexnode infer`: each input examined, encoded and listed, in its turn."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

from PIL import Image
from pydicom.dataset import Dataset
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dicom_node.analyse.examination import Examination, Status
from dicom_node.analyse.examine import examine
from dicom_node.analyse.results import Encoding
from dicom_node.cli.inputs import Input
from dicom_node.cli.outputs import KEYS, Entry, OutputFolder
from dicom_node.cli.reports import StudyReports
from dicom_node.cli.terminal import console, plain
from dicom_node.config import Settings
from dicom_node.domain import Profile, Reason
from dicom_node.encode.overlay import footer_lines, render_overlay
from dicom_node.encode.profiles import PROFILES
from dicom_node.encode.sources import pixel_aspect
from dicom_node.encode.times import latest_time
from dicom_node.errors import ConfigurationError, Unreadable
from dicom_node.parameters import parameters_digest
from dicom_node.sections import AnalyseSection, ModelSection, ResultsSection, SelectSection
from model.contract import ModelError, Predictor

#: files that are shown by name as they are done; of more, the list says it
_NAMED = 200


class Run:
    """One run over all inputs. Selection is the node's default: no limit on a study's age, unknown age is read."""

    def __init__(
        self, model: ModelSection, predictor: Predictor, out: Path, *, profile: Profile = Profile.STRICT
    ) -> None:
        rules = SelectSection()
        self._rules = rules
        self._predictor = predictor
        self._manifest = predictor.manifest
        settings = Settings.model_construct(select=rules, model=model)
        # not the node's UIDs: its results carry other times, and one UID never has two contents
        parameters = hashlib.sha256(b"infer" + parameters_digest(settings).encode()).hexdigest()
        self._encoding = Encoding(manifest=self._manifest, model=model, results=ResultsSection(), parameters=parameters)
        self._profile = profile
        row = PROFILES[profile]
        more = [kind.value for kind in (*row.kinds, *row.study_kinds) if kind.value not in KEYS]
        self._out = OutputFolder(out, keys=(*KEYS, *more))
        self._reports = StudyReports(profile)

    def over(self, inputs: Sequence[Input]) -> tuple[list[Entry], Path]:
        """One entry an input, in order, and where the list of them is. Raises ConfigurationError, OutOfRoom."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        entries = []
        err = console(stderr=True)
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
            task = progress.add_task("analysing", total=len(inputs))
            for entry in self._entries(inputs):
                entries.append(entry)
                progress.advance(task)
                if len(inputs) <= _NAMED and progress.console.is_terminal:
                    progress.console.print(plain(f"{entry.values['status']:<10}  {entry.values['path']}"))
        reports = {study: self._out.write_report(study, report.data) for study, report in self._reports.written()}
        entries = [replace(each, report=reports.get(str(each.values["study_instance_uid"]), "")) for each in entries]
        return entries, self._out.finish(entries)

    def _entries(self, inputs: Sequence[Input]) -> Iterator[Entry]:
        readable = [each.path for each in inputs if not each.obstacle]
        today = datetime.now().astimezone().date()
        examined = examine(readable, self._predictor, limits=AnalyseSection(), rules=self._rules, today=today)
        try:
            for each in inputs:
                yield self._closed(each) if each.obstacle else self._entry(next(examined))
        except ModelError as error:
            raise ConfigurationError(f"the model failed: {error}; another --device may do") from error

    def _closed(self, each: Input) -> Entry:
        return self._listed(each.path, Status.UNREADABLE, f"{Reason.NOT_DICOM}: {each.obstacle}")

    def _entry(self, examination: Examination) -> Entry:
        reason = f"{examination.reason}: {examination.detail}" if examination.reason is not None else None
        entry = self._listed(examination.path, examination.status, reason)
        values = dict(entry.values)
        for name in ("study_instance_uid", "series_instance_uid", "sop_instance_uid"):
            values[name] = getattr(examination, name)
        if examination.status is Status.ANALYSED and examination.prediction is not None:
            values["score"] = round(examination.prediction.score, 6)
            values["findings"] = [
                {
                    "box": [round(edge, 3) for edge in finding.box],
                    "confidence": round(finding.confidence, 6),
                    "area_mm2": None if finding.area_mm2 is None else round(finding.area_mm2, 3),
                }
                for finding in examination.findings
            ]
        digest = _digest(examination.path)
        entry = replace(entry, digest=digest, sop_instance_uid=examination.sop_instance_uid, values=values)
        if examination.status is not Status.ANALYSED:
            self._reports.add(examination, digest, reading=None, marked=())
            return entry
        drawn = len(self._encoding.shown(examination.findings))
        return replace(entry, drawn=drawn, written=self._write(examination, digest))

    def _listed(self, path: Path, status: Status, reason: str | None) -> Entry:
        manifest = self._manifest
        values: dict[str, object] = {
            "path": str(path),
            "study_instance_uid": None,
            "series_instance_uid": None,
            "sop_instance_uid": None,
            "status": status.value,
            "reason": reason,
            "score": None,
            "findings": [],
            "model": {"name": manifest.name, "version": manifest.version, "sha256": manifest.weights_sha256},
        }
        return Entry(digest="", sop_instance_uid=None, values=values)

    def _write(self, examination: Examination, digest: str) -> frozenset[str]:
        header, film = examination.header, examination.film
        if header is None or film is None:
            raise ValueError("an image that was analysed has a header and a film")
        findings = examination.findings
        when = content_time(header)
        context = self._encoding.context(findings, input_digest=digest, content_time=when)
        drawn = self._encoding.shown(findings)
        picture = render_overlay(
            film.pixels,
            drawn,
            footer_lines(context, marks=len(drawn)),
            film_shape=film.shape,
            film_valid=film.valid,
            pixel_aspect=pixel_aspect(header),
        )
        buffer = BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        files = {"overlay": buffer.getvalue()}
        try:
            results = self._encoding.encode(
                [self._profile], header=header, film=film, findings=findings, input_digest=digest, content_time=when
            )
            files |= {result.kind.value: result.data for result in results}
            self._reports.add(examination, digest, reading=context, marked=drawn)
        except Unreadable as error:
            # its pixels were read, but an object could not say whose they are: there is the picture, and the list
            console(stderr=True).print(plain(f"no DICOM object of {examination.path}: {error.detail}"))
        return self._out.write(digest, files)


def content_time(header: Dataset) -> datetime:
    """A second after the newest time that the image tells: the same file gives the same bytes on every day.

    The node freezes its bytes when it first commits them, and may take the clock's time; here nothing is frozen.
    """
    latest = latest_time(header) or datetime(1970, 1, 1)  # noqa: DTZ001 - as told by the image, mostly without a zone
    return (latest + timedelta(seconds=1)).replace(tzinfo=UTC)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read any more: {error.strerror or error}") from error
