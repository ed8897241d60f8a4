"""The bell beside SQLite: sockets in a folder, whatever its name, and what the dead leave there."""

import socket
from pathlib import Path

import pytest

from dicom_node.ledger import Bell, Channel
from tests.waiting import wait_for


def _bell(folder: Path) -> Bell:
    return Bell("sqlite:////nowhere/ledger.sqlite", folder)


def test_a_folder_with_a_long_name_is_no_obstacle(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120) / ("y" * 120)
    with _bell(folder).listen(Channel.JOBS) as listener:
        _bell(folder).ring(Channel.JOBS)
        assert listener.wait(2.0)


def test_what_the_dead_left_is_swept_by_the_next_ring(tmp_path: Path) -> None:
    bell = _bell(tmp_path)
    with bell.listen(Channel.JOBS) as living:
        dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        dead.bind(str(tmp_path / "bell" / "jobs.dead"))
        dead.close()
        bell.ring(Channel.JOBS)
        assert living.wait(2.0)
        assert [path.name for path in (tmp_path / "bell").iterdir() if path.name == "jobs.dead"] == []
    assert list((tmp_path / "bell").iterdir()) == [], "and who leaves in order leaves nothing"


def test_a_listener_that_does_not_look_blocks_nobody(tmp_path: Path) -> None:
    bell = _bell(tmp_path)
    with bell.listen(Channel.JOBS) as listener:
        for _ in range(2000):  # more than a socket holds
            bell.ring(Channel.JOBS)
        assert listener.wait(1.0)
        assert not listener.wait(0.1)


def test_nobody_listens(tmp_path: Path) -> None:
    _bell(tmp_path / "never made").ring(Channel.JOBS)


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    bell = _bell(tmp_path)
    with bell.listen(Channel.JOBS) as listener:
        (tmp_path / "bell" / "jobs.note").write_text("a person was here")
        bell.ring(Channel.JOBS)
        assert listener.wait(2.0)


def test_the_sockets_are_nobody_elses(tmp_path: Path) -> None:
    with _bell(tmp_path / "run").listen(Channel.JOBS):
        assert (tmp_path / "run" / "bell").stat().st_mode & 0o777 == 0o700


@pytest.mark.peer
def test_a_lost_connection_is_made_anew(postgres_url: str, tmp_path: Path) -> None:
    import psycopg

    bell = Bell(postgres_url, tmp_path)
    with bell.listen(Channel.JOBS) as listener:
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        # the connection is found to be gone, and then is there again: look, for rings may have been lost
        wait_for("the new connection", lambda: listener.wait(0.5))
        bell.ring(Channel.JOBS)
        assert listener.wait(2.0)
