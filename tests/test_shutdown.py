"""A role that is told to stop leaves by its deadline, whatever its peers do, and what it held goes on later."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from tests import datasets
from tests.deliver.archives import Archive
from tests.deliver.node import Node, peer, sender, settings_of
from tests.deliver.wire import AwkwardWire, Manner
from tests.life.node import written
from tests.peers import LOOPBACK, association, sent
from tests.receive.roles import ReceiveRole
from tests.waiting import wait_for

#: an A-ASSOCIATE-RQ that claims 200 bytes and brings none (PS3.8 9.3.2)
HALF_A_REQUEST = bytes([0x01, 0, 0, 0, 0, 200])
#: a P-DATA-TF that claims 4,096 bytes and brings two (PS3.8 9.3.5)
HALF_A_MESSAGE = bytes([0x04, 0, 0, 0, 0x10, 0, 0, 0])
#: settings under which no deadline but that of the shutdown ends anything
PATIENT = {"connect_timeout": 600, "response_timeout": 600}


@contextlib.contextmanager
def delivering(config: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The deliver role in a process of its own, killed on leaving if it is still there."""
    started = subprocess.Popen(
        [sys.executable, "-m", "dicom_node.app", "deliver", str(config)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait(60)
        assert started.stdin is not None
        started.stdin.close()


def test_receive_leaves_although_every_kind_of_peer_is_stuck(tmp_path: Path) -> None:
    role = ReceiveRole(tmp_path, receive="io_timeout = 600\nmessage_timeout = 600\nidle_timeout = 600")
    image = datasets.chest(64, 64)
    with role.running() as process, contextlib.ExitStack() as stuck:
        for said in (b"", HALF_A_REQUEST[:3], HALF_A_REQUEST):
            silent = stuck.enter_context(socket.create_connection((LOOPBACK, role.port), timeout=60))
            silent.sendall(said)
        idle = association(role.port, (image.SOPClassUID, ExplicitVRLittleEndian), seconds=60)
        opened = stuck.enter_context(idle)
        assert sent(opened, image) == 0x0000
        halfway = stuck.enter_context(association(role.port, (image.SOPClassUID, ExplicitVRLittleEndian), seconds=60))
        assert halfway.is_established
        halfway.dul.socket.socket.sendall(HALF_A_MESSAGE)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    with role.running(), association(role.port, (image.SOPClassUID, ExplicitVRLittleEndian), seconds=60) as again:
        assert sent(again, image) == 0x0000


@pytest.mark.parametrize("when", ["never answers", "stops reading", "is slow to answer a store"])
def test_deliver_leaves_although_its_archive_is_stuck_and_goes_on_later(tmp_path: Path, when: str) -> None:
    with Archive() as archive, AwkwardWire(archive.port) as wire:
        if when == "is slow to answer a store":
            archive.stall_at = 1
        else:
            wire.manner = Manner.STALL
            wire._stall_after = 0 if when == "never answers" else 4096
        settings = settings_of(
            tmp_path / "node", sender("MODALITY", "archive"), peer("archive", wire.port), deliver=PATIENT
        )
        node = Node(settings)
        config = written(settings, tmp_path / "chexnode.toml")
        (uid,) = node.queue("archive", node.result("1.2.3", rows=512))
        with delivering(config) as process:
            wait_for(
                "it to be stuck",
                lambda: wire.spoilt or sum(archive.came.values()),
                seconds=120,
            )
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0
        assert node.states() == ["pending"], "handed back, not left to its lease"
        wire.manner = Manner.THROUGH
        archive.answers.set()
        with delivering(config):
            wait_for("the delivery", lambda: node.states() == ["stored"], seconds=120)
        assert list(archive.kept) == [uid]
        node.close()
