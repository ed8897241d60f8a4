"""A receiver in this process, on a free port, with a spool and an SQLite ledger of its own."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_node.audit import Trail
from dicom_node.config import PeerSection, ReceiveSection, TLSSection
from dicom_node.domain import Mode
from dicom_node.ledger import Ledger, instances, models
from dicom_node.ledger.rows import InstanceRow
from dicom_node.receive.intake import Intake
from dicom_node.receive.scp import StoreSCP
from dicom_node.spool import Spool

PARAMETERS = "0" * 64
PEERS = (
    PeerSection(
        name="pacs",
        ae_title="SENDER",
        host="127.0.0.1",
        port=1,
        sends=True,
        allow_from=("127.0.0.0/24",),
        results_to=("pacs",),
        mode=Mode.SEND,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Receiver:
    scp: StoreSCP
    intake: Intake
    ledger: Ledger
    spool: Spool
    folder: Path

    @property
    def port(self) -> int:
        return self.scp.port

    def current(self, dataset: Dataset | str) -> InstanceRow | None:
        """The row that a SOP Instance UID stands for."""
        uid = dataset if isinstance(dataset, str) else dataset.SOPInstanceUID
        with self.ledger.reading() as tx:
            return instances.current(tx, str(uid))

    def kept(self, dataset: Dataset | str) -> bytes:
        """The file that the spool holds for a SOP Instance UID."""
        row = self.current(dataset)
        assert row is not None, "not received"
        return self.spool.read(row.spool_key)

    def files(self) -> list[Path]:
        """Every file of the spool that has bytes in it, parts included: empty ones are names for what will come."""
        return [path for path in (self.folder / "spool").rglob("*") if path.is_file() and path.stat().st_size]


Start = Callable[..., Receiver]


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite ledger with one active model, to be copied: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    Ledger.migrate(f"sqlite:///{path}")
    ledger = Ledger.open(f"sqlite:///{path}")
    with ledger.transaction() as tx:
        models.register(tx, digest="a" * 64, name="probe", version="1", now=0.0)
        models.activate(tx, "a" * 64, parameters=PARAMETERS)
    ledger.close()
    return path


@pytest.fixture
def start(tmp_path: Path, empty_ledger: Path) -> Iterator[Start]:
    """Start a receiver; keywords go into ReceiveSection, but `peers` (who may send), `tls` and `audit`."""
    opened: list[Receiver] = []

    def _start(
        *,
        peers: tuple[PeerSection, ...] = PEERS,
        tls: TLSSection | None = None,
        audit: Trail | None = None,
        **settings: Any,
    ) -> Receiver:
        folder = tmp_path / f"node{len(opened)}"
        url = f"sqlite:///{folder / 'ledger.sqlite'}"
        folder.mkdir()
        shutil.copy(empty_ledger, folder / "ledger.sqlite")
        ledger = Ledger.open(url)
        spool = Spool(folder / "spool")
        section = ReceiveSection(**({"port": 0, "low_watermark": 0} | settings))
        intake = Intake(
            spool,
            ledger,
            parameters=PARAMETERS,
            low_watermark=section.low_watermark,
            max_object_size=section.max_object_size,
        )
        scp = StoreSCP(intake, section, peers=peers, ae_title="CHEXNODE", tls=tls, audit=audit)
        scp.start()
        opened.append(Receiver(scp=scp, intake=intake, ledger=ledger, spool=spool, folder=folder))
        return opened[-1]

    yield _start
    for receiver in opened:
        receiver.scp.close(drain=0.2)
        receiver.ledger.close()


@pytest.fixture
def receiver(start: Start) -> Receiver:
    return start()
