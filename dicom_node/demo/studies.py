"""The studies of a demonstration: three synthetic ones with what must come back, or the user's own files."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom_node.demo.chest import Planted, Radiograph, chest
from dicom_node.demo.dx import Visit, data_set
from dicom_node.demo.hand import hand
from dicom_node.demo.opacities import Opacity, Side, Wish
from dicom_node.domain import Kind, Reason
from dicom_node.errors import ConfigurationError

#: the persons of the shipped films; the weights must mark the first and leave the second alone before they ship
ABNORMAL_SEED, CLEAN_SEED, HAND_SEED = 7, 5, 3
ABNORMAL = (
    Wish(kind=Opacity.CONSOLIDATION, side=Side.RIGHT, height=0.6, size=100.0),
    Wish(kind=Opacity.EFFUSION, side=Side.LEFT, size=45.0),
)


@dataclass(frozen=True, kw_only=True)
class Image:
    """One file of a study."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    #: what was planted into a synthetic film, boxes in its pixels
    planted: tuple[Planted, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What must come back for a shipped study."""

    kinds: frozenset[Kind]
    #: why nothing comes back
    reason: Reason | None = None


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is sent to the archive as one study."""

    label: str
    study_instance_uid: str
    images: tuple[Image, ...]
    #: None: the user's own, of which nothing is known
    expected: Expected | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """The user's files, sorted."""

    studies: tuple[Study, ...]
    #: files that are left out, and why
    left_out: tuple[tuple[Path, str], ...] = field(default=())


def shipped(folder: Path, now: datetime) -> tuple[Study, ...]:
    """Draw the three studies into `folder`: an abnormal chest, a clean one, a hand; taken just before `now`."""
    marked = frozenset({Kind.SEG, Kind.SC, Kind.SR})
    wanted: tuple[tuple[str, str, str, Callable[[], Radiograph], Expected], ...] = (
        ("abnormal chest", "Abnormal", "CHEST", lambda: chest(ABNORMAL_SEED, ABNORMAL), Expected(kinds=marked)),
        ("clean chest", "Clean", "CHEST", lambda: chest(CLEAN_SEED), Expected(kinds=frozenset({Kind.SC, Kind.SR}))),
        ("hand", "Hand", "HAND", lambda: hand(HAND_SEED), Expected(kinds=frozenset(), reason=Reason.NOT_A_CHEST)),
    )
    studies = []
    for number, (label, name, part, draw, expected) in enumerate(wanted, 1):
        taken_at = (now - timedelta(minutes=20 - 5 * number)).replace(microsecond=0)
        visit = Visit(
            number=number, family_name=name, body_part=part, study_description=f"{part.title()} PA", taken_at=taken_at
        )
        image = _written(folder / f"{name.lower()}.dcm", draw(), visit)
        studies.append((label, image, expected))
    return tuple(
        Study(label=label, study_instance_uid=study_uid, images=(image,), expected=expected)
        for label, (study_uid, image), expected in studies
    )


def _written(path: Path, film: Radiograph, visit: Visit) -> tuple[str, Image]:
    ds = data_set(film, visit)
    ds.save_as(path, enforce_file_format=True)
    image = Image(
        path=path,
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        transfer_syntax_uid=str(ds.file_meta.TransferSyntaxUID),
        planted=film.planted,
    )
    return str(ds.StudyInstanceUID), image


def found(paths: Iterable[Path]) -> Found:
    """Every DICOM file (PS3.10) among `paths` and in their folders, by study in order of name.

    Raises ConfigurationError for a path that does not exist, and where there is no DICOM file at all.
    """
    by_study: dict[str, dict[str, Image]] = defaultdict(dict)
    left_out = []
    files = list(dict.fromkeys(file for path in paths for file in _files(path)))
    for file in files:
        try:
            study, image = _read(file)
        except (InvalidDicomError, ValueError, OSError) as error:
            why = "it is no DICOM file (PS3.10)" if isinstance(error, InvalidDicomError) else str(error)
            left_out.append((file, why))
        else:
            by_study[study].setdefault(image.sop_instance_uid, image)
    if not by_study:
        why = f" ({left_out[0][0]}: {left_out[0][1]})" if left_out else ""
        raise ConfigurationError(
            f"no DICOM file among {len(files)} files{why}; name DICOM files or folders that hold some"
        )
    return Found(
        studies=tuple(
            Study(label=_label(list(images.values())), study_instance_uid=uid, images=tuple(images.values()))
            for uid, images in by_study.items()
        ),
        left_out=tuple(left_out),
    )


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise ConfigurationError(f"{path} does not exist")
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _label(images: list[Image]) -> str:
    first = images[0].path.name
    return first if len(images) == 1 else f"{first} + {len(images) - 1} more"


def _read(path: Path) -> tuple[str, Image]:
    """The Study Instance UID and what a sender needs to know. Raises ValueError, InvalidDicomError."""
    tags = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"]
    ds = dcmread(path, specific_tags=list(tags), stop_before_pixels=True)
    missing = [tag for tag in tags if not ds.get(tag)] + ["TransferSyntaxUID"] * (
        "TransferSyntaxUID" not in ds.file_meta
    )
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    image = Image(
        path=path,
        sop_class_uid=str(ds.SOPClassUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        transfer_syntax_uid=str(ds.file_meta.TransferSyntaxUID),
    )
    return str(ds.StudyInstanceUID), image
