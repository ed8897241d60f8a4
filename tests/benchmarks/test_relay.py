"""The wire of the latency benchmark: it changes nothing that passes, and notes when each object was answered."""

import time
from pathlib import Path

import pytest

from benchmarks.journey import STAGES, _journey
from benchmarks.relay import Relay
from dicom_node.dimse.association import open_association
from dicom_node.dimse.contexts import proposed_contexts
from tests import datasets
from tests.peers import storescp


@pytest.mark.peer
def test_each_object_is_noted_when_its_response_came(tmp_path: Path):
    sent = [datasets.chest() for _ in range(3)]
    wanted = {(str(each.SOPClassUID), str(each.file_meta.TransferSyntaxUID)) for each in sent}
    with storescp(tmp_path / "got") as (port, folder), Relay(port) as relay:
        began = time.time()
        with open_association(
            "127.0.0.1", relay.port, called="STORESCP", calling="MODALITY", contexts=proposed_contexts(wanted)
        ) as opened:
            assert [opened.store(each).status for each in sent] == [0, 0, 0]
        assert relay.wait_for(3, 10)
        answered = relay.answered
        assert set(answered) == {each.SOPInstanceUID for each in sent}
        times = [answered[each.SOPInstanceUID] for each in sent]
        assert began <= times[0] <= times[1] <= times[2] <= time.time()
        assert len(list(folder.iterdir())) == 3


def test_a_journey_is_cut_where_the_ledger_says():
    times = {
        ("job", "running"): 100.1,
        ("job", "done"): 100.4,
        ("study", "concluded"): 101.2,
        ("delivery", "sending"): 101.3,
    }
    journey = _journey(100.0, [101.5, 101.6], times, {"decode": 40, "keep": 3}, 1.0)
    assert journey.seconds == pytest.approx(1.6)
    assert journey.last_image_object == 101.6
    assert journey.stages == pytest.approx(
        {
            "claimed": 0.1,
            "analysed": 0.3,
            "concluded": 0.2,
            "sending": 0.1,
            "first": 0.2,
            "second": 0.1,
            "decode": 0.04,
            "keep": 0.003,
        }
    )
    assert set(journey.stages) <= set(STAGES)
