"""Catching up without an archive of its own: the pace, the window, what is left behind when it breaks off."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from dicom_node import operate
from dicom_node.cli.catch_up import Pace
from dicom_node.errors import PeerUnavailable, Refused
from dicom_node.ledger import caught_up
from dicom_node.query.archive import HeldInstance, HeldStudy
from dicom_node.sections import SelectSection
from tests.deliver.node import DX, Node, settings_of

CT = "1.2.840.10008.5.1.4.1.1.2"


class Shelf:
    """An archive of studies that are told beforehand."""

    def __init__(self, *studies: HeldStudy, images: dict[str, list[HeldInstance]]) -> None:
        self._studies = studies
        self._images = images

    def study(self, study_instance_uid: str) -> HeldStudy | None:
        return next((each for each in self._studies if each.study_instance_uid == study_instance_uid), None)

    def instances(self, study_instance_uid: str) -> tuple[HeldInstance, ...]:
        return tuple(self._images.get(study_instance_uid, ()))

    def whereabouts(self, sop_instance_uid: str) -> tuple[HeldInstance, ...]:
        return ()

    def studies(self, first_day: str, last_day: str) -> tuple[HeldStudy, ...]:
        return tuple(each for each in self._studies if first_day <= each.study_date <= last_day)


def study(uid: str, date: str, time: str = "", *modalities: str) -> HeldStudy:
    return HeldStudy(
        study_instance_uid=uid,
        patient_id="P",
        issuer_of_patient_id=None,
        accession_number="A",
        study_date=date,
        study_time=time,
        modalities=modalities,
    )


def image(study_uid: str, uid: str, sop_class_uid: str = DX) -> HeldInstance:
    return HeldInstance(
        study_instance_uid=study_uid, series_instance_uid="1.5", sop_instance_uid=uid, sop_class_uid=sop_class_uid
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path))
    yield node
    node.close()


def window(node: Node, *studies: HeldStudy, since: str, until: str) -> list[str]:
    images = {each.study_instance_uid: [image(each.study_instance_uid, "1.9")] for each in studies}
    shelf = Shelf(*studies, images=images)
    found = operate.behind(node.ledger, shelf, SelectSection(), since=at(since), until=at(until))
    return [each.study.study_instance_uid for each in found]


def test_the_window_is_of_the_studies_own_times_and_who_tells_none_counts_by_its_day(node: Node) -> None:
    studies = (
        study("1.1", "20260301", "115959"),
        study("1.2", "20260301", "120000.250"),
        study("1.3", "20260301"),
        study("1.4", "20260302", "0"),
        study("1.5", "20260303", "080000"),
    )
    assert window(node, *studies, since="2026-03-01T12:00", until="2026-03-03T08:00") == ["1.2", "1.3", "1.4"]


def test_only_what_may_be_read_is_asked_for(node: Node) -> None:
    studies = (study("1.1", "20260301", "", "CT"), study("1.2", "20260301", "", "DX", "SR"), study("1.3", "20260301"))
    assert window(node, *studies, since="2026-03-01T00:00", until="2026-03-02T00:00") == ["1.2", "1.3"]
    shelf = Shelf(studies[1], images={"1.2": [image("1.2", "1.9"), image("1.2", "1.10", CT), image("1.2", "1.11", "")]})
    (found,) = operate.behind(
        node.ledger, shelf, SelectSection(), since=at("2026-03-01T00:00"), until=at("2026-03-02T00:00")
    )
    assert [each.sop_instance_uid for each in found.missing] == ["1.9", "1.11"]


def lacking(*uids: str) -> operate.StudyBehind:
    return operate.StudyBehind(
        study=study("1.2", "20260301"), images=len(uids), missing=tuple(image("1.2", uid) for uid in uids)
    )


def named(node: Node) -> set[str]:
    with node.ledger.reading() as tx:
        return {name for key in (1, 2) for name in caught_up.routes(tx, key).named.values()}


def test_one_image_that_cannot_be_had_keeps_no_other_back(node: Node) -> None:
    def fetch(wanted: HeldInstance) -> None:
        if wanted.sop_instance_uid == "1.9":
            raise Refused("no such object")
        if wanted.sop_instance_uid == "1.10":
            node.arrive("1.2", sop_uid="1.10")

    paces: list[None] = []
    done = operate.catch_up(
        node.ledger,
        lacking("1.9", "1.10", "1.11"),
        destination="research",
        fetch=fetch,
        pace=lambda: paces.append(None),
        now=1.0,
    )
    assert (done.came, len(paces)) == (1, 3)
    assert [uid for uid, _ in done.failed] == ["1.9", "1.11"]
    assert [why.split(":")[0] for _, why in done.failed] == [
        "no such object",
        "it was sent, and the node does not have it",
    ]
    assert named(node) == {"research"}


def test_what_did_not_come_before_the_archive_went_away_is_routed_as_ever_if_it_comes(node: Node) -> None:
    def fetch(wanted: HeldInstance) -> None:
        raise PeerUnavailable("it is gone")

    with pytest.raises(PeerUnavailable):
        operate.catch_up(node.ledger, lacking("1.9"), destination="research", fetch=fetch, pace=lambda: None, now=1.0)
    node.arrive("1.2", sop_uid="1.9")
    assert named(node) == set()


def test_the_pace_is_kept_and_what_took_longer_is_not_made_up_for() -> None:
    now = 100.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    pace = Pace(2.0, clock=lambda: now, sleep=sleep)
    pace()
    pace()
    now += 7.0
    pace()
    pace()
    assert slept == [2.0, 2.0]
