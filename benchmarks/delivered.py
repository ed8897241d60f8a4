"""What it costs to deliver a film's results, by the node's own way to a destination."""

import statistics
import time
from pathlib import Path

import pytest

from benchmarks.queued import Queued
from dicom_node.deliver.destination import Verdict
from dicom_node.deliver.kinds import destination_of
from dicom_node.domain import Mode, Profile
from dicom_node.ledger import Ledger, results
from dicom_node.peer import PeerSection
from dicom_node.sections import DeliverSection
from dicom_node.spool import Spool
from tests.peers import storescp

#: studies that are sent, one association each
_STUDIES = 10


def delivery_ms(queued: Queued, folder: Path) -> float | None:
    """Median milliseconds to send one film's SEG and SC to dcmtk's storescp; None where that is missing."""
    settings = queued.settings()
    ledger, spool = Ledger.for_settings(settings.node), Spool(settings.node.folder / "spool")
    with ledger.reading() as tx:
        made = [results.of_study(tx, study_id) for study_id in range(1, _STUDIES + 1)]
    ledger.close()
    try:
        # the films with findings: those have both objects; it writes to /dev/null what it gets
        with storescp(folder, options=("+xa", "--ignore")) as (port, _):
            peer = PeerSection(
                name="storescp",
                ae_title="STORESCP",
                host="127.0.0.1",
                port=port,
                mode=Mode.SEND,
                profile=Profile.OHIF,
            )
            destination = destination_of(peer, calling="CHEXNODE", section=DeliverSection(), spool=spool)
            taken = []
            for of_study in made:
                if len(of_study) < 2:
                    continue
                started = time.perf_counter()
                outcomes = list(destination.send(of_study))
                taken.append(time.perf_counter() - started)
                if any(outcome.verdict is not Verdict.STORED for outcome in outcomes):
                    raise RuntimeError(f"storescp did not take a result: {outcomes}")
    except pytest.skip.Exception:
        return None
    return 1000 * statistics.median(taken)
