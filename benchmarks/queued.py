"""A node's folder with films in its spool and its ledger, as the receiver leaves them: for the analyse role to find."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.films import write
from dicom_node.config import Settings, load_settings
from dicom_node.demo.chest import Radiograph
from dicom_node.dimse.part10 import LONGEST_META, read_file_meta
from dicom_node.domain import Arrival
from dicom_node.ledger import Ledger, instances, url_for
from dicom_node.parameters import parameters_digest
from dicom_node.receive.head import read_head
from dicom_node.spool import Spool

_SETTINGS = """
[node]
folder = "{folder}/data"

[analyse]
decoders = {decoders}

[[peers]]
name = "archive"
ae_title = "ARCHIVE"
host = "127.0.0.1"
sends = true
results_to = ["archive"]
mode = "hold"
profile = "ohif"
"""


@dataclass(frozen=True, kw_only=True)
class Queued:
    """The folder, and how many films wait in it."""

    folder: Path
    films: int

    @property
    def log(self) -> Path:
        """Of the role."""
        return self.folder / "analyse.log"

    def configure(self, *, decoders: int) -> Path:
        """Write the configuration; where it is."""
        path = self.folder / "chexnode.toml"
        path.write_text(_SETTINGS.format(folder=self.folder, decoders=decoders))
        return path

    def settings(self) -> Settings:
        """As configured last."""
        return load_settings(self.folder / "chexnode.toml")

    def analysed(self) -> list[dict[str, Any]]:
        """The log's line of each film that was analysed, in their order."""
        lines = (line for line in self.log.read_text(errors="replace").splitlines() if '"analysed"' in line)
        return [json.loads(line) for line in lines if line.endswith("}")]


def queue_films(folder: Path, films: Sequence[Radiograph], count: int) -> Queued:
    """`count` studies of one film each, of `films` in turn, received and waiting."""
    folder.mkdir(parents=True)
    queued = Queued(folder=folder, films=count)
    queued.configure(decoders=1)
    settings = queued.settings()
    Ledger.migrate(url_for(settings.node))
    ledger, spool = Ledger.for_settings(settings.node), Spool(settings.node.folder / "spool")
    for number, film in enumerate(islice(cycle(films), count), 1):
        path = write(folder, film, number)
        octets = path.read_bytes()
        path.unlink()
        meta = read_file_meta(octets[:LONGEST_META])
        now = time.time()
        arrival = Arrival(
            head=read_head(octets[meta.data_set_offset :], meta.transfer_syntax_uid),
            transfer_syntax_uid=meta.transfer_syntax_uid,
            digest=hashlib.sha256(octets[meta.data_set_offset :]).hexdigest(),
            size=len(octets) - meta.data_set_offset,
            calling_ae_title="ARCHIVE",
            spool_key=spool.put(octets),
            received_at=now,
        )
        with ledger.transaction() as tx:
            instances.record(tx, arrival, parameters=parameters_digest(settings, "ARCHIVE"), now=now)
    spool.close()
    ledger.close()
    return queued
