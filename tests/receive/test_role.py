"""The receive role as a process: it starts, drains when told to, and killed at any moment loses nothing."""

import signal
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.ledger import Ledger, instances, keys, processes
from dicom_node.spool import Spool
from tests import datasets
from tests.dimse.raw import RawSender, p_data, store_command
from tests.peers import association, echoed, echoscu
from tests.receive.roles import ReceiveRole
from tests.waiting import wait_for


def _kept(role: ReceiveRole, dataset: Dataset) -> bool:
    ledger = Ledger.open(role.ledger_url)
    try:
        with ledger.reading() as tx:
            row = instances.current(tx, dataset.SOPInstanceUID)
        if row is None:
            return False
        return Spool(role.folder / "spool").read(row.spool_key).endswith(datasets.data_set_bytes(dataset))
    finally:
        ledger.close()


def _unnamed(role: ReceiveRole) -> list[Path]:
    """Files with bytes that no row names: of transfers that have begun."""
    ledger = Ledger.open(role.ledger_url)
    try:
        with ledger.reading() as tx:
            return Spool(role.folder / "spool").orphans(keys.spool_keys(tx))
    finally:
        ledger.close()


@pytest.mark.peer
def test_it_answers_and_says_that_it_is_alive(tmp_path: Path) -> None:
    role = ReceiveRole(tmp_path)
    with role.running():
        assert echoed(echoscu(role.port))
        ledger = Ledger.open(role.ledger_url)
        with ledger.reading() as tx:
            assert [row.role for row in processes.seen(tx)] == ["receive"]
        ledger.close()


@pytest.mark.parametrize("how", ["SIGTERM", "end of the supervisor's pipe"])
def test_told_to_stop_it_finishes_what_has_begun(tmp_path: Path, how: str) -> None:
    role = ReceiveRole(tmp_path)
    dataset = datasets.chest(400, 400)
    body = datasets.data_set_bytes(dataset)
    with role.running() as process, RawSender(role.port, [(dataset.SOPClassUID, ExplicitVRLittleEndian)]) as raw:
        raw.socket.sendall(p_data(1, 3, store_command(dataset.SOPClassUID, dataset.SOPInstanceUID)))
        raw.socket.sendall(p_data(1, 0, body[:100_000]))
        wait_for("the transfer to have begun", lambda: _unnamed(role))
        if how == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        else:
            assert process.stdin is not None
            process.stdin.close()
        raw.send_data(body[100_000:])
        assert raw.status() == 0x0000
        assert raw.read_pdu()[0] == 7, "then the association is aborted"
        assert process.wait(15) == 0
    assert _kept(role, dataset)


def test_killed_in_the_middle_it_keeps_all_that_it_acknowledged(tmp_path: Path) -> None:
    role = ReceiveRole(tmp_path)
    acknowledged: list[Dataset] = []
    for turn in range(3):
        with role.running() as process:
            with association(role.port, (datasets.chest().SOPClassUID, ExplicitVRLittleEndian)) as sender:
                for _ in range(3 + turn):
                    dataset = datasets.chest()
                    if sender.send_c_store(dataset).Status == 0x0000:
                        acknowledged.append(dataset)
            half = datasets.chest(800, 800)
            with RawSender(role.port, [(half.SOPClassUID, ExplicitVRLittleEndian)]) as raw:
                raw.socket.sendall(p_data(1, 3, store_command(half.SOPClassUID, half.SOPInstanceUID)))
                raw.socket.sendall(p_data(1, 0, datasets.data_set_bytes(half)[:100_000]))
                wait_for("the transfer to have begun", lambda: _unnamed(role))
                process.kill()
                process.wait(10)
        assert not _kept(role, half)
        for part in _unnamed(role):
            part.unlink()  # retention's sweep does this once they are old
    assert len(acknowledged) == 12
    assert all(_kept(role, dataset) for dataset in acknowledged)
