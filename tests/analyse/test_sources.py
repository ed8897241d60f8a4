"""A source has its own threshold and its own most marks, in a real run of the worker."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicom_node.analyse.examine import Examiner
from dicom_node.analyse.results import encoding_for
from dicom_node.analyse.role import register
from dicom_node.domain import JobState, Kind, Profile
from dicom_node.ledger import Ledger, encodings, findings, jobs, results, url_for
from dicom_node.ledger.instances import Recorded
from dicom_node.parameters import parameters_digest
from dicom_node.peer import PeerSection
from dicom_node.spool import Spool
from model.contract import Film
from tests import datasets
from tests.analyse.bench import Bench
from tests.analyse.conftest import Node, settings_in, with_lesion
from tests.analyse.fakes import MANIFEST
from tests.encode.sources import film, finding, full, header


def source(ae_title: str, **own: object) -> PeerSection:
    return PeerSection.model_validate(
        {
            "name": ae_title.lower(),
            "ae_title": ae_title,
            "sends": True,
            "allow_from": ("127.0.0.1",),
            "results_to": ("pacs",),
            **own,
        }
    )


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """PACS has the model's own threshold, 0.5; WARD asks for more, ONE for one mark at most."""
    peers = (source("WARD", threshold=0.8), source("ONE", most_findings=1))
    settings = settings_in(tmp_path / "node", peers=peers)
    Ledger.migrate(url_for(settings.node))
    ledger = Ledger.for_settings(settings.node)
    yield Node(settings=settings, ledger=ledger, spool=Spool(settings.node.folder / "spool"))
    ledger.close()


def two_lesions() -> pydicom.Dataset:
    """A chest on which the fake model is 0.9 sure of one square and 0.7 of another."""
    dataset = datasets.chest(100, 90)
    pixels = datasets.film(100, 90)
    pixels[20:32, 14:24] = 4095
    pixels[60:70, 60:68] = 4095
    dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
    return dataset


def stored(bench: Bench, arrived: Recorded) -> dict[Kind, pydicom.Dataset]:
    with bench.node.ledger.reading() as tx:
        rows = results.of_study(tx, arrived.study_id)
    return {row.kind: pydicom.dcmread(BytesIO(bench.node.spool.read(row.spool_key))) for row in rows}


def area(seg: pydicom.Dataset) -> int:
    return int(seg.pixel_array.sum())


def test_each_source_gets_its_own_threshold_and_number_of_marks(bench: Bench):
    arrived = {calling: bench.node.arrive(two_lesions(), calling=calling) for calling in ("PACS", "WARD", "ONE")}
    bench.work()
    made = {calling: stored(bench, each) for calling, each in arrived.items()}
    assert {calling: area(objects[Kind.SEG]) for calling, objects in made.items()} == {
        "PACS": 120 + 80,
        "WARD": 120,
        "ONE": 120,
    }
    with bench.node.ledger.reading() as tx:
        for each in arrived.values():
            assert len(findings.of_job(tx, bench.job(each.instance_id).job_id)) == 2, "down to the floor, whoever sent"
    said = {
        calling: objects[Kind.SEG].SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
        for calling, objects in made.items()
    }
    assert [said[calling].rsplit(",", 1)[1] for calling in ("PACS", "WARD", "ONE")] == [
        "threshold=0.5",
        "threshold=0.8",
        "threshold=0.5",
    ]


def test_the_same_image_of_two_sources_never_has_one_uid_with_two_contents(node: Node):
    uids: set[str] = set()
    for calling in ("PACS", "WARD", "ONE"):
        encoded = list(
            encoding_for(node.settings, MANIFEST, calling).encode(
                [Profile.STRICT],
                header=header(full()),
                film=Film(pixels=film()),
                findings=[finding(20, 10, confidence=0.9), finding(40, 20, confidence=0.7)],
                input_digest="1" * 64,
                content_time=datetime(2026, 3, 4, tzinfo=UTC),
            )
        )
        assert len(encoded) == 2
        uids |= {result.sop_instance_uid for result in encoded}
    assert len(uids) == 6


def test_what_is_drawn_is_noted_for_each_source(bench: Bench):
    settings = bench.node.settings
    with bench.node.ledger.reading() as tx:
        noted = {
            calling: encodings.find(tx, model_digest=MANIFEST.digest, digest=parameters_digest(settings, calling))
            for calling in ("PACS", "WARD", "ONE")
        }
    assert {calling: row and (row.threshold, row.most_findings) for calling, row in noted.items()} == {
        "PACS": (0.5, 10),
        "WARD": (0.8, 10),
        "ONE": (0.5, 1),
    }
    assert noted["PACS"] is not None
    assert noted["PACS"].family == MANIFEST.family


def test_what_was_queued_under_other_settings_is_read_under_those_of_its_source(node: Node, examiner: Examiner[int]):
    bench = Bench(node, examiner)
    arrived = bench.node.arrive(two_lesions(), calling="WARD")
    peers = tuple(
        peer.model_copy(update={"threshold": 0.4}) if peer.ae_title == "WARD" else peer for peer in node.settings.peers
    )
    changed = node.settings.model_copy(update={"peers": peers})
    bench.start(changed, MANIFEST)
    bench.work()
    ended = bench.job(arrived.instance_id)
    assert (ended.state, ended.parameters) == (JobState.DONE, parameters_digest(changed, "WARD"))
    assert area(stored(bench, arrived)[Kind.SEG]) == 200


def test_what_came_before_any_model_is_queued_for_its_source(node: Node):
    arrived = node.arrive(with_lesion(), calling="WARD")
    with node.ledger.reading() as tx:
        assert jobs.next_due(tx) is None
    register(node.ledger, MANIFEST, node.settings, now=1.0)
    with node.ledger.transaction() as tx:
        (claim,) = jobs.claim(tx, owner="w", now=2.0, lease=10, limit=5)
    assert (claim.instance.instance_id, claim.parameters) == (
        arrived.instance_id,
        parameters_digest(node.settings, "WARD"),
    )


def test_a_job_says_what_it_was_read_under_though_the_receiver_took_new_settings_first(bench: Bench):
    newer = bench.node.settings.model_copy(
        update={"model": bench.node.settings.model.model_copy(update={"threshold": 0.7})}
    )
    early = replace(bench.node, settings=newer)
    arrived = early.arrive(two_lesions(), calling="WARD")
    assert bench.job(arrived.instance_id).parameters == parameters_digest(newer, "WARD")
    bench.work()
    assert bench.job(arrived.instance_id).parameters == parameters_digest(bench.node.settings, "WARD")
    assert area(stored(bench, arrived)[Kind.SEG]) == 120
