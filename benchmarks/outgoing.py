"""The deliver role as a site runs it, with results of a given size that wait for destinations."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage
from sqlalchemy import func, select

from benchmarks.modality import Image, fresh_uid
from benchmarks.receivers import CALLING, Receiver
from dicom_node.dimse.part10 import file_meta
from dicom_node.domain import DeliveryState, Kind, Profile
from dicom_node.ledger import schema
from dicom_node.ledger.rows import StoredResult
from tests import datasets
from tests.deliver.node import Node, settings_of
from tests.waiting import wait_for

#: seconds that one round may take
_PATIENCE = 120
#: results of one study
_STUDY = 3


def segmentation(rows: int, columns: int) -> Image:
    """A SEG by its class, so that it goes out as it is kept; 2 · rows · columns bytes of whatever pixels."""
    uid = fresh_uid()
    dataset = datasets.chest(
        rows, columns, SOPClassUID=SegmentationStorage, SOPInstanceUID=uid, StudyInstanceUID=fresh_uid()
    )
    encoded = datasets.data_set_bytes(dataset)
    return Image(sop_class_uid=str(SegmentationStorage), data_set=encoded, at=encoded.index(uid.encode()))


class Outgoing:
    """A ledger and a spool, and `chexnode deliver` that sends from them."""

    def __init__(self, folder: Path, destinations: Mapping[str, tuple[Receiver, int]]) -> None:
        """`destinations`: by name, the receiver and how many associations it gets."""
        folder.mkdir()
        peers = [
            {
                "name": name,
                "ae_title": to.ae_title,
                "host": "127.0.0.1",
                "port": to.port,
                "mode": "send",
                "associations": associations,
            }
            for name, (to, associations) in destinations.items()
        ]
        self.configuration = folder / "chexnode.toml"
        lines = [f'[node]\nae_title = "{CALLING}"\nfolder = "{folder / "data"}"\n']
        # a configuration must name somebody who sends
        lines += ["[[peers]]", 'name = "modality"', 'ae_title = "MODALITY"', "sends = true"]
        lines += ['allow_from = ["127.0.0.1"]', f"results_to = {json.dumps(list(destinations))}", ""]
        for peer in peers:
            values = (
                f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in peer.items()
            )
            lines += ["[[peers]]", *values, ""]
        self.configuration.write_text("\n".join(lines))
        self._node = Node(settings_of(folder / "data", *peers))
        self._log = folder / "deliver.log"

    @contextlib.contextmanager
    def running(self) -> Iterator[int]:
        """The role, once it waits for work; its process id."""
        command = [sys.executable, "-m", "dicom_node", "deliver", "--config", str(self.configuration)]
        with self._log.open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603 - ours
        try:
            wait_for("the deliver role", self._lives, seconds=60)
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)
            self._node.close()

    def deliver(self, destination: str, image: Image, count: int) -> float:
        """Have `count` fresh objects delivered; seconds from the moment that they may go to the last one's commit."""
        ready = [self._result(image) for _ in range(count)]
        began = time.time()
        for start in range(0, count, _STUDY):
            self._node.queue(destination, *ready[start : start + _STUDY])
        wait_for("delivery", lambda: not self._open(), seconds=_PATIENCE, every=0.02)
        with self._node.ledger.reading() as tx:
            ended = tx.execute(select(func.max(schema.delivery.c.ended_at))).scalar_one()
        return float(ended) - began

    def _result(self, image: Image) -> StoredResult:
        uid, data = image.fresh()
        meta = file_meta(
            sop_class_uid=image.sop_class_uid,
            sop_instance_uid=uid,
            transfer_syntax_uid=ExplicitVRLittleEndian,
            calling_ae_title=CALLING,
        )
        return StoredResult(
            kind=Kind.SEG,
            profile=Profile.STRICT,
            sop_class_uid=image.sop_class_uid,
            sop_instance_uid=uid,
            series_instance_uid=fresh_uid(),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            encoder_version=uid,
            spool_key=self._node.spool.put(meta + bytes(data)),
            digest="c" * 64,
            predecessor=None,
        )

    def _open(self) -> int:
        under_way = (DeliveryState.PENDING.value, DeliveryState.SENDING.value)
        with self._node.ledger.reading() as tx:
            query = select(func.count()).select_from(schema.delivery).where(schema.delivery.c.state.in_(under_way))
            return int(tx.execute(query).scalar_one())

    def _lives(self) -> bool:
        with self._node.ledger.reading() as tx:
            return bool(tx.execute(select(func.count()).select_from(schema.process)).scalar_one())
