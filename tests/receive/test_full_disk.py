"""A disk that fills, and one that fails, under a receive role: nothing is acknowledged that is not kept."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node import ballast
from dicom_node.domain import JobState, Reason
from dicom_node.ledger import Ledger, jobs, models, named
from dicom_node.operate.verifying import verify
from dicom_node.spool import Spool
from tests import datasets
from tests.disks import fill, free_bytes, small_disk
from tests.peers import association, program, sent
from tests.receive.conftest import PARAMETERS
from tests.receive.roles import ReceiveRole
from tests.waiting import wait_for

#: free bytes below which the role takes nothing
LOW = 12 << 20
CONTEXT = (datasets.chest().SOPClassUID, ExplicitVRLittleEndian)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, megabytes=96) as place:
        yield place


def role_on(folder: Path) -> ReceiveRole:
    """A receive role whose ledger has an active model, so that there are jobs."""
    role = ReceiveRole(folder)
    ledger = Ledger.open(role.ledger_url)
    with ledger.transaction() as tx:
        models.register(tx, digest="a" * 64, name="probe", version="1", now=0.0)
        models.activate(tx, "a" * 64, parameters=PARAMETERS)
    ledger.close()
    return role


def offer(role: ReceiveRole, images: list[Dataset]) -> list[int]:
    """Send images one after the other on one association; the statuses, none where it was refused as transient."""
    with association(role.port, CONTEXT, seconds=60) as opened:
        if not opened.is_established:
            # PS3.8 9.3.4: rejected-transient, and no word of who called
            assert opened.acceptor.primitive.result == 0x02
            return []
        return [sent(opened, image) for image in images]


def acknowledged(role: ReceiveRole) -> set[str]:
    """What the ledger has, after ledger and spool were seen to agree."""
    ledger = Ledger.open(role.ledger_url)
    try:
        assert list(verify(ledger, Spool(role.folder / "spool"))) == []
        with ledger.reading() as tx:
            return {each.sop_instance_uid for each in named.named(tx)}
    finally:
        ledger.close()


def work_off(role: ReceiveRole) -> int:
    """Claim every job and end it, each in a transaction of its own, as a worker does; how many."""
    ledger = Ledger.open(role.ledger_url)
    done = 0
    try:
        while True:
            with ledger.transaction() as tx:
                claims = jobs.claim(tx, owner="test", now=time.time(), lease=60, limit=1)
            if not claims:
                return done
            with ledger.transaction() as tx:
                reason = Reason.LATERAL_VIEW
                jobs.finish_unread(tx, claims[0], JobState.DECLINED, reason=reason, detail="", now=time.time())
            done += 1
    finally:
        ledger.close()


@pytest.mark.peer
@pytest.mark.parametrize("low", [LOW, 0], ids=["watermark", "no-watermark"])
def test_two_hundred_sends_over_a_disk_that_fills(disk: Path, monkeypatch: pytest.MonkeyPatch, low: int) -> None:
    monkeypatch.setenv("CHEXNODE_RECEIVE__LOW_WATERMARK", str(low))
    role = role_on(disk)
    images = [datasets.chest(384, 384) for _ in range(200)]
    with role.running():
        wait_for("the ballast", lambda: (role.folder / "ballast").exists())
        filler = fill(disk, leave=LOW + (16 << 20))
        statuses = offer(role, images)
        taken = statuses.count(0x0000)
        # mid-way: out of resources, and nothing else
        assert set(statuses) == {0x0000, 0xA700}
        assert len(statuses) == 200
        assert statuses[:taken] == [0x0000] * taken
        if low:
            assert offer(role, images[:1]) == []

        fill(disk)
        assert free_bytes(disk) < 1 << 16
        assert work_off(role) == taken
        assert (role.folder / "ballast").stat().st_size == 0
        assert offer(role, images[taken : taken + 1]) == []
        assert acknowledged(role) == {str(image.SOPInstanceUID) for image in images[:taken]}

        filler.unlink()
        assert wait_for("the door to open", lambda: offer(role, images[taken - 1 :])) == [0x0000] * (201 - taken)
        assert (role.folder / "ballast").stat().st_size == ballast.SIZE
        assert work_off(role) == 200 - taken
    assert acknowledged(role) == {str(image.SOPInstanceUID) for image in images}


@pytest.mark.peer
@pytest.mark.parametrize("call", ["fsync", "fdatasync"], ids=["of the spool", "of the ledger"])
def test_a_disk_that_answers_eio_is_never_answered_with_success(tmp_path: Path, call: str) -> None:
    strace = program("strace")
    role = role_on(tmp_path)
    images = [datasets.chest(64, 64) for _ in range(6)]
    trace = tmp_path / "trace"
    with role.running() as process, association(role.port, CONTEXT, seconds=60) as opened:
        assert sent(opened, images[0]) == 0x0000
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:error=EIO"]
        tracer = subprocess.Popen(
            [strace, "-f", "-p", str(process.pid), *inject, "-o", str(trace)], stderr=subprocess.PIPE, text=True
        )
        try:
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            if "attached" not in said:
                pytest.skip(f"strace may not attach here (--cap-add SYS_PTRACE): {said.strip()[:120]}")
            assert [sent(opened, image) for image in images[1:]] == [0xA700] * 5
            assert trace.read_text().count("INJECTED") >= 5
        finally:
            tracer.terminate()
            tracer.communicate(timeout=60)
        assert acknowledged(role) == {str(images[0].SOPInstanceUID)}
        assert [sent(opened, image) for image in images] == [0x0000] * 6
    assert acknowledged(role) == {str(image.SOPInstanceUID) for image in images}
