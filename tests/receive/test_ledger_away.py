"""A PostgreSQL that goes away and comes back, an SQLite that another process holds: try later, and then it works."""

import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.config import ReceiveSection
from dicom_node.errors import LedgerUnavailable
from dicom_node.ledger import Channel, Ledger, jobs, models, named
from dicom_node.ledger import engine as engines
from dicom_node.operate.verifying import verify
from dicom_node.receive.intake import Intake
from dicom_node.receive.scp import StoreSCP
from dicom_node.spool import Spool
from tests import datasets
from tests.peers import association, sent
from tests.postgres import Away
from tests.receive.conftest import PARAMETERS, PEERS, Start
from tests.waiting import wait_for

CONTEXT = (datasets.chest().SOPClassUID, ExplicitVRLittleEndian)


@pytest.mark.peer
def test_postgresql_gone_and_back_under_an_open_association(
    tmp_path: Path, postgres_server: str, postgres_url: str
) -> None:
    Ledger.migrate(postgres_url)
    ledger = Ledger.open(postgres_url)
    with ledger.transaction() as tx:
        models.register(tx, digest="a" * 64, name="probe", version="1", now=0.0)
        models.activate(tx, "a" * 64, parameters=PARAMETERS)
    spool = Spool(tmp_path / "spool")
    intake = Intake(spool, ledger, parameters=PARAMETERS, low_watermark=0, max_object_size=1 << 30)
    scp = StoreSCP(intake, ReceiveSection(port=0, low_watermark=0), peers=PEERS, ae_title="CHEXNODE")
    scp.start()
    images = [datasets.chest(64, 64) for _ in range(4)]
    try:
        with association(scp.port, CONTEXT, seconds=60) as opened:
            assert sent(opened, images[0]) == 0x0000
            with Away(postgres_server, postgres_url).gone():
                assert sent(opened, images[1]) == 0xA700
                with pytest.raises(LedgerUnavailable), ledger.transaction():
                    pass
                with pytest.raises(LedgerUnavailable):
                    Ledger.open(postgres_url)
            assert [sent(opened, image) for image in images[1:]] == [0x0000] * 3
        with ledger.reading() as tx:
            assert {each.sop_instance_uid for each in named.named(tx)} == {str(each.SOPInstanceUID) for each in images}
        assert list(verify(ledger, spool)) == []
        assert len(list((tmp_path / "spool" / "objects").rglob("*/*"))) == 4
    finally:
        scp.close(drain=1)
        ledger.close()


@pytest.mark.peer
def test_who_waits_for_postgresql_s_bell_hears_it_again_once_it_is_back(
    postgres_server: str, postgres_url: str
) -> None:
    Ledger.migrate(postgres_url)
    ledger = Ledger.open(postgres_url)
    rung = threading.Event()
    stop = threading.Event()

    def listen() -> None:
        with ledger.bell.listen(Channel.STUDIES) as listener:
            while not stop.is_set():
                if listener.wait(1.0):
                    rung.set()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        with Away(postgres_server, postgres_url).gone():
            pass
        wait_for("the bell", lambda: ledger.bell.ring(Channel.STUDIES) or rung.is_set(), every=0.2)
    finally:
        stop.set()
        thread.join(30)
        ledger.close()


def test_sqlite_that_another_holds_is_answered_with_try_later(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT", 0.3)
    receiver = start()
    image, other = datasets.chest(64, 64), datasets.chest(64, 64)
    holder = sqlite3.connect(receiver.folder / "ledger.sqlite", isolation_level=None)
    with contextlib.closing(holder), association(receiver.port, CONTEXT) as opened:
        holder.execute("BEGIN IMMEDIATE")
        assert sent(opened, image) == 0xA700
        # whoever only reads is not held up
        with receiver.ledger.reading() as tx:
            assert jobs.failed(tx) == []
        holder.execute("ROLLBACK")
        assert [sent(opened, each) for each in (image, other)] == [0x0000] * 2
    assert list(verify(receiver.ledger, receiver.spool)) == []
    assert len(receiver.files()) == 2
