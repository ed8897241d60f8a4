"""A destination that stays dead is named with what it holds back, and by when the disk is full of it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from dicom_node.config import Settings
from dicom_node.doctor import Health, room
from dicom_node.ledger import deliveries, schema
from dicom_node.operate import Choice, abandon
from tests.deliver.node import Node, peer, sender, settings_of

GB = 10**9


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(
        settings_of(
            tmp_path / "node",
            sender("MODALITY", "archive", "viewer"),
            peer("archive"),
            peer("viewer"),
            receive={"low_watermark": 0},
        )
    )
    yield node
    node.close()


def weigh(node: Node, size: int) -> None:
    """Every image is of `size` bytes."""
    with node.ledger.transaction() as tx:
        tx.execute(schema.instance.update().values(size=size))


def age(node: Node, seconds: float) -> None:
    """Whatever waits has waited that long."""
    with node.ledger.transaction() as tx:
        tx.execute(schema.delivery.update().values(created_at=time.time() - seconds))


def said(settings: Settings) -> list[tuple[Health, str]]:
    return [(check.health, check.said) for check in room.checks(settings)]


def test_a_dead_destination_is_named_while_there_is_room_and_more_loudly_when_there_is_little(node: Node) -> None:
    node.queue("archive", node.result("1.2.3"))
    node.queue("viewer", node.result("1.2.4"))
    with node.ledger.transaction() as tx:
        (claim,) = deliveries.claim(tx, destination="viewer", now=9e9, owner="t", lease=60, limit=1)
        deliveries.stored(tx, claim, time.time())
    weigh(node, node.spool.free_bytes() // 20)
    # two of them a day: a twentieth each
    assert [health for health, _ in said(node.settings)] == [Health.OK], "an hour has not passed"
    age(node, 7200)
    (warned, fine) = said(node.settings)
    assert warned[0] is Health.WARNING
    assert warned[1].startswith("what archive has not got keeps ")
    assert "in 10.0 days" in warned[1]
    assert fine[0] is Health.OK
    weigh(node, node.spool.free_bytes())
    assert [health for health, _ in said(node.settings)] == [Health.FAILED, Health.OK]
    abandon(node.ledger, Choice(destination="archive"), now=time.time(), reason="test")
    assert [health for health, _ in said(node.settings)] == [Health.OK]


def test_what_is_held_for_a_person_holds_back_too(node: Node) -> None:
    node.queue("archive", node.result("1.2.3"), held=True)
    weigh(node, 5 * GB)
    assert said(node.settings)[0][1].startswith("what archive has not got keeps 5.0 GB of images")


def test_a_node_that_receives_nothing_lasts(node: Node) -> None:
    assert said(node.settings) == [
        (Health.OK, "received within a day: 0.0 MB; at that rate the disk lasts for more than a year")
    ]


def test_images_of_yesterday_are_no_rate_of_today(node: Node) -> None:
    node.arrive(str(generate_uid()), now=time.time() - 90000)
    weigh(node, 5 * GB)
    assert "received within a day: 0.0 MB" in said(node.settings)[0][1]
