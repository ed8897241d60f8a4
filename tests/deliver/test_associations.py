"""Several associations to one destination: real archives that take many, one at a time, or one and no more."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_node.deliver.dicom import wanted_syntaxes
from dicom_node.deliver.outbox import BATCH
from dicom_node.dimse.contexts import MOST_CONTEXTS
from dicom_node.domain import Kind, Profile
from tests.deliver.archives import Archive, StoreSCP
from tests.deliver.node import Node, peer, settings_of
from tests.deliver.test_role import STUDY, all_stored, delivering
from tests.peers import free_port
from tests.waiting import wait_for


def several(port: int, associations: int = 3) -> dict[str, Any]:
    return peer("archive", port) | {"associations": associations}


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    made: list[Node] = []
    yield made
    for node in made:
        node.close()


def queued(nodes: list[Node], folder: Path, archive: dict[str, Any], *, studies: int, **deliver: Any) -> list[str]:
    """A node with so many studies of three results each for the archive; their UIDs in the order of their making."""
    nodes.append(Node(settings_of(folder / "node", archive, deliver=deliver)))
    kinds = (Kind.SEG, Kind.SC, Kind.SC)
    batches = [nodes[-1].queue("archive", *(nodes[-1].result(STUDY, kind) for kind in kinds)) for _ in range(studies)]
    return list(itertools.chain(*batches))


def test_several_at_a_time_and_nothing_twice(nodes: list[Node], tmp_path: Path) -> None:
    with Archive() as archive:
        archive.answers.clear()
        uids = queued(nodes, tmp_path, several(archive.port), studies=8, response_timeout=30)
        with delivering(nodes[0].settings):
            wait_for("three associations", lambda: archive.associations == 3)
            archive.answers.set()
            wait_for("delivery", lambda: all_stored(nodes[0]))
        assert sorted(archive.kept) == sorted(uids)
        assert set(archive.came.values()) == {1}
        arrived = list(archive.kept)
        for start in range(0, len(uids), 3):  # what refers to a study's other results comes after them
            assert sorted(uids[start : start + 3], key=arrived.index) == uids[start : start + 3]


def test_an_archive_that_takes_fewer_gets_everything_and_no_attempt_is_counted(
    nodes: list[Node], tmp_path: Path
) -> None:
    with Archive(most_associations=1) as archive:
        archive.answers.clear()
        uids = queued(nodes, tmp_path, several(archive.port), studies=8, response_timeout=30)
        with delivering(nodes[0].settings):
            wait_for("an association", lambda: archive.came)
            archive.answers.set()
            wait_for("delivery", lambda: all_stored(nodes[0]))
        assert sorted(archive.kept) == sorted(uids)
        assert set(archive.came.values()) == {1}


@pytest.mark.peer
@pytest.mark.parametrize("how", ["--fork", "--single-process"])
def test_storescp_gets_everything(nodes: list[Node], tmp_path: Path, how: str) -> None:
    """dcmtk's storescp: a process for each association, or one for all of them, who wait for it."""
    with StoreSCP(tmp_path / "dcmtk", free_port(), "+xa", how) as archive:
        uids = queued(nodes, tmp_path, several(archive.port), studies=8, connect_timeout=2)
        with delivering(nodes[0].settings):
            wait_for("delivery", lambda: all_stored(nodes[0]))
        assert archive.uids() == sorted(uids)


def test_a_destination_that_was_down_is_sent_to_by_all_again(nodes: list[Node], tmp_path: Path) -> None:
    port = free_port()
    uids = queued(nodes, tmp_path, several(port), studies=8)
    with delivering(nodes[0].settings):
        wait_for("an attempt in vain", lambda: any(one.attempts for one in nodes[0].deliveries()))
        with Archive(port) as archive:
            archive.answers.clear()
            wait_for("all of them", lambda: archive.associations >= 2)
            archive.answers.set()
            wait_for("delivery", lambda: all_stored(nodes[0]))
        assert sorted(archive.kept) == sorted(uids)


def test_a_batch_never_needs_more_contexts_than_an_association_has() -> None:
    """Each result of a batch of another class, in every syntax that it may be sent in."""
    most = max(
        len(wanted_syntaxes(kind, profile, kept, compress=True))
        for kind in Kind
        for profile in Profile
        for kept in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.5")
    )
    assert BATCH * most <= MOST_CONTEXTS


def test_stops_with_all_of_them_stuck(nodes: list[Node], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dicom_node.deliver import role

    monkeypatch.setattr(role, "DRAIN", 0.3)
    with Archive() as archive:
        archive.answers.clear()
        queued(nodes, tmp_path, several(archive.port), studies=8, response_timeout=30)
        stop = threading.Event()
        thread = threading.Thread(target=role.run, args=(nodes[0].settings, stop), daemon=True)
        thread.start()
        wait_for("three associations", lambda: len(archive.came) == 3)
        stop.set()
        thread.join(15)
        assert not thread.is_alive()
        assert set(nodes[0].states()) == {"pending"}
