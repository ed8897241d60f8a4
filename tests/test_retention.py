"""What is delivered goes by age and by watermark; what is not delivered stays, whatever the disk."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import generate_uid
from sqlalchemy import select

from dicom_node import retention
from dicom_node.audit import Trail
from dicom_node.conclude.complete import complete_quiet, conclude_ready
from dicom_node.conclude.report import Reporter
from dicom_node.domain import DeliveryState, InstanceState, Reason, ResultState
from dicom_node.ledger import deliveries, holding, instances, overview, schema
from dicom_node.retention import ORPHAN_AGE, Deleted, Retention
from dicom_node.sections import RetentionSection
from dicom_node.security import AuditSection, TLSSection
from tests.audit.reading import told
from tests.deliver.node import Node, peer, sender, settings_of

DAY = 86400.0
T0 = 1_750_000_000.0
#: more than any disk of ours has free
EVERYTHING = 1 << 60


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(settings_of(tmp_path, sender("MODALITY", "archive"), peer("archive")))
    yield node
    node.close()


def retain(node: Node, now: float, *, days: float = 7, watermark: int = 0) -> Deleted:
    section = RetentionSection(days=days, watermark=watermark)
    return Retention(node.ledger, node.spool, section).run(now=now, stop=threading.Event())


def study(node: Node, *, delivered: DeliveryState, now: float = T0) -> str:
    """A study that was concluded at `now`, its one delivery left in this state."""
    uid = str(generate_uid())
    node.arrive(uid, now=now)
    node.analyse(node.result(uid), now=now)
    conclude(node, now + 1)
    ids = [one.delivery_id for one in node.study(uid).deliveries]
    with node.ledger.transaction() as tx:
        if delivered is DeliveryState.ABANDONED:
            holding.abandon(tx, ids=ids, now=now + 2, reason="test")
        elif delivered not in (DeliveryState.PENDING, DeliveryState.HELD):
            (claim,) = deliveries.claim(tx, destination="archive", now=now + 2, owner="t", lease=1, limit=1)
            if delivered is DeliveryState.STORED:
                deliveries.stored(tx, claim, now + 2)
            elif delivered is DeliveryState.FAILED:
                deliveries.refused(tx, claim, now + 2, "no")
    assert [one.state for one in node.study(uid).deliveries] == [delivered]
    return uid


def conclude(node: Node, now: float) -> None:
    complete_quiet(node.ledger, node.settings.conclude, now=now)
    reporter = Reporter(node.ledger, node.spool, node.settings.results)
    conclude_ready(node.ledger, node.settings.conclude, reporter, node.settings.route, now=now)


def spooled(node: Node) -> int:
    return sum(1 for path in (node.settings.node.folder / "spool").rglob("*") if path.is_file() and path.stat().st_size)


@pytest.mark.parametrize("state", [DeliveryState.STORED, DeliveryState.ABANDONED])
def test_what_has_ended_goes_by_age_with_whose_it_was(node: Node, state: DeliveryState) -> None:
    uid = study(node, delivered=state)
    assert retain(node, T0 + 2 + 7 * DAY - 1).studies == 0
    assert spooled(node) == 2
    assert retain(node, T0 + 2 + 7 * DAY).studies == 1
    assert spooled(node) == 0
    view = node.study(uid)
    assert [one.instance.state for one in view.instances] == [InstanceState.PURGED]
    assert (view.study.patient_id, view.study.accession_number) == ("", "")
    with node.ledger.reading() as tx:
        assert list(tx.execute(select(schema.result.c.state)).scalars()) == [ResultState.PURGED.value]
        assert overview.studies(tx, accession="A-1001") == []


@pytest.mark.parametrize("state", [DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.FAILED])
def test_what_is_not_delivered_stays_however_old_and_however_full(node: Node, state: DeliveryState) -> None:
    study(node, delivered=state)
    assert retain(node, T0 + 4000 * DAY, watermark=EVERYTHING) == Deleted(studies=0, orphans=0)
    assert spooled(node) == 2


def test_a_held_result_stays(node: Node, tmp_path: Path) -> None:
    node.close()
    held = Node(settings_of(tmp_path / "held", sender("MODALITY", "archive"), peer("archive", mode="hold")))
    study(held, delivered=DeliveryState.HELD)
    assert retain(held, T0 + 4000 * DAY, watermark=EVERYTHING).studies == 0
    assert spooled(held) == 2
    held.close()


def test_a_study_that_still_waits_for_a_job_or_a_person_stays(node: Node) -> None:
    study(node, delivered=DeliveryState.STORED)
    quarantined = study(node, delivered=DeliveryState.STORED)
    sop_uid = node.study(quarantined).instances[0].instance.sop_instance_uid
    repeat = node.arrive(quarantined, sop_uid=sop_uid, now=T0 + 3)
    with node.ledger.transaction() as tx:
        assert instances.quarantine(tx, repeat.instance_id, Reason.DIFFERENT_PICTURE, T0 + 3)
    node.arrive(str(generate_uid()), now=T0)
    assert retain(node, T0 + 4000 * DAY).studies == 1
    assert spooled(node) == 3 + 1


def test_a_study_with_nothing_to_deliver_goes_by_age(node: Node) -> None:
    uid = str(generate_uid())
    node.arrive(uid, now=T0)
    node.decline(now=T0)
    conclude(node, T0 + 1)
    assert retain(node, T0 + 7 * DAY).studies == 0
    assert retain(node, T0 + 1 + 7 * DAY).studies == 1
    assert spooled(node) == 0


def test_a_full_disk_takes_the_longest_delivered_first_and_no_more_than_it_needs(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    old = [study(node, delivered=DeliveryState.STORED, now=T0 + second) for second in (20, 0, 30, 10)]
    section = RetentionSection(days=7, watermark=1000)

    class ShortOnce(Retention):
        """A disk that has room again after one batch; a full one is made in the tests of the spool."""

        looks = 0

        def _short_of_room(self) -> bool:
            self.looks += 1
            return self.looks == 1

    deleted = ShortOnce(node.ledger, node.spool, section).run(now=T0 + 500, stop=threading.Event())
    assert deleted.studies == 2
    assert [bool(node.study(uid).study.accession_number) for uid in old] == [True, False, True, False]


def test_a_second_turn_finds_nothing(node: Node) -> None:
    study(node, delivered=DeliveryState.STORED)
    assert retain(node, T0 + 8 * DAY).studies == 1
    assert retain(node, T0 + 9 * DAY, watermark=EVERYTHING).studies == 0


def test_an_image_that_comes_after_the_purge_opens_the_study_with_its_names(node: Node) -> None:
    uid = study(node, delivered=DeliveryState.STORED)
    retain(node, T0 + 8 * DAY)
    node.arrive(uid, now=T0 + 9 * DAY)
    assert node.study(uid).study.accession_number == "A-1001"
    node.analyse(node.result(uid), now=T0 + 9 * DAY)
    conclude(node, T0 + 9 * DAY + 1)
    assert [one.state.value for one in node.study(uid).deliveries] == ["stored", "pending"]
    assert retain(node, T0 + 30 * DAY).studies == 0


def test_orphans_are_swept_once_they_are_old_and_nothing_else_is(node: Node) -> None:
    study(node, delivered=DeliveryState.PENDING)
    orphan = node.spool.put(b"whose row was never written")
    now = time.time()
    assert retain(node, now).orphans == 0
    os.utime(node.spool.path(orphan), (now - ORPHAN_AGE - 1,) * 2)
    assert retain(node, now).orphans == 1
    assert spooled(node) == 2


def test_stops_when_told_to(node: Node) -> None:
    study(node, delivered=DeliveryState.STORED)
    stop = threading.Event()
    stop.set()
    deleted = Retention(node.ledger, node.spool, RetentionSection(days=0)).run(now=T0 + 8 * DAY, stop=stop)
    assert deleted == Deleted(studies=0, orphans=0)
    assert spooled(node) == 2


def test_what_is_deleted_stands_in_the_audit_trail(node: Node, tmp_path: Path) -> None:
    uid = study(node, delivered=DeliveryState.STORED)
    study(node, delivered=DeliveryState.PENDING)
    file = tmp_path / "audit.xml"
    trail = Trail(AuditSection(file=file), tls=TLSSection(), ae_title="CHEXNODE")
    section = RetentionSection(days=7, watermark=0)
    Retention(node.ledger, node.spool, section, audit=trail).run(now=T0 + 8 * DAY, stop=threading.Event())
    trail.close(20)
    (deleted,) = (told(line) for line in file.read_text().splitlines())
    assert (deleted.event, deleted.action, deleted.objects["110180"]) == ("110105", "D", uid)
