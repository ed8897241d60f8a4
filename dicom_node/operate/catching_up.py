"""After an outage: which images an archive has that the node never saw, and having them come in."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from dicom_node.errors import Refused, Unreadable
from dicom_node.ledger import Ledger, caught_up
from dicom_node.query.archive import Archive, HeldInstance, HeldStudy
from dicom_node.sections import SelectSection


@dataclass(frozen=True, kw_only=True)
class StudyBehind:
    """One study of an archive, by what the node has of it."""

    study: HeldStudy
    #: its images of the SOP classes that are read; results of the node's own are none
    images: int
    #: those of them that the node never received
    missing: tuple[HeldInstance, ...]


@dataclass(frozen=True, kw_only=True)
class CaughtUp:
    """What became of fetching what one study lacks."""

    #: images that are in the ledger now
    came: int
    #: SOP Instance UID of each image that is not, and why
    failed: tuple[tuple[str, str], ...]


def behind(
    ledger: Ledger, archive: Archive, select: SelectSection, *, since: datetime, until: datetime
) -> Iterator[StudyBehind]:
    """Each study in the window that may have images to be read, and what of them the node lacks.

    The window is of the studies' own dates, in local time; a study that tells no time counts by its day. Raises
    Refused and PeerUnavailable as Archive does.
    """
    for study in archive.studies(f"{since:%Y%m%d}", f"{until:%Y%m%d}"):
        began = _began(study)
        if began is not None and not since <= began < until:
            continue
        if study.modalities and not set(study.modalities) & set(select.modalities):
            continue
        images = [
            each
            for each in archive.instances(study.study_instance_uid)
            # an archive that does not tell the class may have an image
            if each.sop_class_uid in ("", *select.sop_classes)
        ]
        with ledger.reading() as tx:
            own = caught_up.own(tx, [each.sop_instance_uid for each in images])
            missing = caught_up.unknown(tx, [each.sop_instance_uid for each in images])
        yield StudyBehind(
            study=study,
            images=len(images) - len(own),
            missing=tuple(each for each in images if each.sop_instance_uid in set(missing)),
        )


def catch_up(
    ledger: Ledger,
    behind: StudyBehind,
    *,
    destination: str,
    fetch: Callable[[HeldInstance], None],
    pace: Callable[[], None],
    now: float,
) -> CaughtUp:
    """Have what a study lacks come in, for `destination` alone; run again, it goes on where it was.

    `fetch` brings one image in, and raises Refused or Unreadable where that one cannot be had; whatever else it raises
    ends this, and what did not come is forgotten. `pace` is called before each, and takes its time.
    """
    uids = [each.sop_instance_uid for each in behind.missing]
    failed: list[tuple[str, str]] = []
    with ledger.transaction() as tx:
        caught_up.name(tx, uids, destination=destination, now=now)
    try:
        for each in behind.missing:
            pace()
            try:
                fetch(each)
            except (Refused, Unreadable) as error:
                failed.append((each.sop_instance_uid, str(error)))
    finally:
        with ledger.transaction() as tx:
            lacking = caught_up.unknown(tx, uids)
            caught_up.forget_missing(tx, uids)
    said = {uid for uid, _ in failed}
    failed += [
        (uid, "it was sent, and the node does not have it: a result of some chexnode's, or see its log")
        for uid in lacking
        if uid not in said
    ]
    return CaughtUp(came=len(uids) - len(lacking), failed=tuple(failed))


def _began(study: HeldStudy) -> datetime | None:
    """When the study began, local time; None: it does not tell, or only the day."""
    try:
        return datetime.strptime(f"{study.study_date}{study.study_time[:6]}", "%Y%m%d%H%M%S").astimezone()
    except ValueError:
        return None
