"""The small archive: it keeps what dcmtk sends, the first of each UID, and routes studies on."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless

from dicom_node.demo.archive import Archive, Kept, Verdict, keep_first
from dicom_node.demo.router import Route
from dicom_node.demo.sending import send_all
from dicom_node.errors import NodeError
from tests import datasets
from tests.peers import echoed, echoscu, free_port, storescu
from tests.waiting import wait_for


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive(tmp_path / "archive") as made:
        yield made


def test_it_answers_an_echo(archive: Archive) -> None:
    assert echoed(echoscu(archive.port, called=archive.ae_title))


def test_it_keeps_what_storescu_sends_byte_for_byte(archive: Archive, tmp_path: Path) -> None:
    sent = [datasets.chest(), datasets.in_syntax(datasets.chest(), JPEG2000Lossless)]
    paths = [datasets.write(dataset, tmp_path) for dataset in sent]
    run = storescu(archive.port, *paths, called=archive.ae_title, options=["-R", "-xv"])
    run = storescu(archive.port, *paths, called=archive.ae_title, options=["-R"]) if run.returncode else run
    assert run.returncode == 0, run.stdout
    kept = archive.held()
    assert [k.sop_instance_uid for k in kept] == [ds.SOPInstanceUID for ds in sent]
    for each, dataset in zip(kept, sent, strict=True):
        assert each.calling_ae_title == "SENDER"
        assert each.path.stem == each.digest
        assert each.path.read_bytes().endswith(datasets.data_set_bytes(dataset))
        assert dcmread(each.path).PatientName == dataset.PatientName


def test_it_finds_by_study_and_by_series(archive: Archive, tmp_path: Path) -> None:
    one, other = datasets.chest(), datasets.chest()
    storescu(archive.port, *(datasets.write(ds, tmp_path) for ds in (one, other)), called="ARCHIVE", options=["-R"])
    assert [k.sop_instance_uid for k in archive.held(study=one.StudyInstanceUID)] == [one.SOPInstanceUID]
    assert [k.sop_instance_uid for k in archive.held(series=other.SeriesInstanceUID)] == [other.SOPInstanceUID]
    assert archive.held(study="1.2.3") == []


def test_the_first_object_of_a_uid_stays_and_the_second_is_answered_with_success(
    archive: Archive, tmp_path: Path
) -> None:
    first = datasets.chest()
    second = datasets.chest(SOPInstanceUID=first.SOPInstanceUID, PatientComments="changed")
    for name, dataset in (("first", first), ("second", second)):
        run = storescu(archive.port, datasets.write(dataset, tmp_path, name), called="ARCHIVE", options=["-R"])
        assert run.returncode == 0
    (kept,) = archive.held()
    assert "PatientComments" not in dcmread(kept.path)


def test_its_manners_are_a_function(tmp_path: Path) -> None:
    def full(held: Kept | None, arrived: Kept) -> Verdict:
        return keep_first(held, arrived) if arrived.modality == "CR" else Verdict(keep=False, status=0xA700)

    with Archive(tmp_path / "archive", manners=full) as archive:
        refused = datasets.write(datasets.chest(), tmp_path)
        taken = datasets.write(datasets.computed_radiography(), tmp_path)
        assert "0xa700" in storescu(archive.port, refused, called="ARCHIVE", options=["-R", "-d"]).stdout.lower()
        assert storescu(archive.port, taken, called="ARCHIVE", options=["-R"]).returncode == 0
        assert [kept.modality for kept in archive.held()] == ["CR"]


def test_bytes_that_are_no_data_set_are_not_understood(archive: Archive, tmp_path: Path) -> None:
    nameless = datasets.write(datasets.chest(StudyInstanceUID=None), tmp_path)
    with pytest.raises(NodeError, match="C000"):
        send_all([nameless], "127.0.0.1", archive.port, called="ARCHIVE", calling="SENDER")
    assert archive.held() == []


def test_a_study_is_routed_on_but_never_back_to_where_it_came_from(tmp_path: Path) -> None:
    with Archive(tmp_path / "second", ae_title="SECOND") as second:
        route = Route(ae_title="SECOND", host="127.0.0.1", port=second.port, quiet=0.1)
        with Archive(tmp_path / "first", routes={"second": route}) as first:
            theirs, back = datasets.chest(), datasets.chest()
            storescu(first.port, datasets.write(back, tmp_path), calling="SECOND", called="ARCHIVE", options=["-R"])
            storescu(first.port, datasets.write(theirs, tmp_path), called="ARCHIVE", options=["-R"])
            assert second.wait(lambda: second.instance(theirs.SOPInstanceUID) is not None, 20)
            (routed,) = second.held()
            assert routed.calling_ae_title == "ARCHIVE"
            original = first.instance(theirs.SOPInstanceUID)
            assert original is not None
            assert routed.digest == original.digest


def test_a_route_whose_peer_is_away_says_so_and_works_again_once_it_is_there(tmp_path: Path) -> None:
    port = free_port()
    route = Route(ae_title="LATER", host="127.0.0.1", port=port, quiet=0.05)
    with Archive(tmp_path / "first", routes={"later": route}) as first:
        storescu(first.port, datasets.write(datasets.chest(), tmp_path), called="ARCHIVE", options=["-R"])
        assert str(port) in str(wait_for("the route's trouble", lambda: first.router.trouble.get("later")))
        with Archive(tmp_path / "later", ae_title="LATER", port=port) as later:
            assert later.wait(lambda: len(later.held()) == 1, 20)
        wait_for("the route to be well", lambda: not first.router.trouble)


def test_what_a_peer_refuses_for_good_is_said_and_not_tried_again(tmp_path: Path) -> None:
    tries: list[str] = []

    def rude(held: Kept | None, arrived: Kept) -> Verdict:
        tries.append(arrived.sop_instance_uid)
        return Verdict(keep=False, status=0xA900)

    with Archive(tmp_path / "rude", ae_title="RUDE", manners=rude) as peer:
        route = Route(ae_title="RUDE", host="127.0.0.1", port=peer.port, quiet=0.05)
        with Archive(tmp_path / "first", routes={"rude": route}) as first:
            refused, next_one = datasets.chest(), datasets.chest()
            for dataset in (refused, next_one):
                storescu(first.port, datasets.write(dataset, tmp_path), called="ARCHIVE", options=["-R"])
                wait_for("the refusal", partial(first.router.refused.get, str(dataset.StudyInstanceUID)))
            assert "A900" in first.router.refused[refused.StudyInstanceUID]
            assert tries == [refused.SOPInstanceUID, next_one.SOPInstanceUID]
