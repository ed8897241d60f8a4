"""Storage Commitment as SCP: what is pledged, what is not, how it is reported, and that a pledge holds."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from pynetdicom.transport import ThreadedAssociationServer
from sqlalchemy import update

from dicom_node.config import ReceiveSection
from dicom_node.deliver import role
from dicom_node.ledger import pledges, schema
from dicom_node.receive.commitment import CommitmentSCP
from dicom_node.receive.intake import Intake
from dicom_node.receive.scp import StoreSCP
from dicom_node.retention import Retention
from dicom_node.sections import RetentionSection
from tests import datasets
from tests.committing import CommittingArchive
from tests.deliver.node import PARAMETERS, Node, peer, sender, settings_of
from tests.peers import LOOPBACK, association, free_port
from tests.waiting import wait_for

DX = str(datasets.chest().SOPClassUID)


class Modality:
    """An AE called MODALITY that stores, asks, and listens for reports where they are sent: at its own port."""

    def __init__(self, node_port: int) -> None:
        self.port = free_port()
        self.node_port = node_port
        #: Event Type ID and Event Information of each report
        self.reports: list[tuple[int, Dataset]] = []
        #: what reports are answered with, one after the other, before success
        self.answers: list[int] = []
        self._ae = AE("MODALITY")
        self._ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        self._server: ThreadedAssociationServer | None = None

    def __enter__(self) -> "Modality":
        handlers = [(evt.EVT_N_EVENT_REPORT, self._reported)]
        self._server = self._ae.start_server((LOOPBACK, self.port), block=False, evt_handlers=handlers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.shutdown()

    def _reported(self, event: Any) -> tuple[int, None]:
        self.reports.append((event.request.EventTypeID, event.event_information))
        return self.answers.pop(0) if self.answers else 0x0000, None

    def store(self, *images: Dataset) -> None:
        with association(self.node_port, (DX, ExplicitVRLittleEndian), calling="MODALITY") as opened:
            assert [opened.send_c_store(image).Status for image in images] == [0] * len(images)

    def ask(
        self,
        *images: Dataset,
        uid: str = "",
        syntax: str = str(ExplicitVRLittleEndian),
        calling: str = "MODALITY",
        action: int = 1,
    ) -> int:
        """The status of the N-ACTION response."""
        request = Dataset()
        request.TransactionUID = uid or generate_uid()
        request.ReferencedSOPSequence = [_reference(image) for image in images]
        return self.send(request, syntax=syntax, calling=calling, action=action)

    def send(
        self,
        request: Dataset,
        *,
        syntax: str = str(ExplicitVRLittleEndian),
        calling: str = "MODALITY",
        action: int = 1,
        instance: str = str(StorageCommitmentPushModelInstance),
    ) -> int:
        with association(self.node_port, (str(StorageCommitmentPushModel), syntax), calling=calling) as opened:
            answer, _ = opened.send_n_action(request, action, StorageCommitmentPushModel, instance)
            return int(answer.Status)

    def reasons(self, position: int = -1) -> dict[str, int]:
        """SOP Instance UIDs of a report with their Failure Reasons, 0 for those committed to."""
        wait_for("the report", lambda: len(self.reports) > (position if position >= 0 else 0))
        event_type, report = self.reports[position]
        good = {str(item.ReferencedSOPInstanceUID): 0 for item in report.get("ReferencedSOPSequence") or ()}
        bad = {str(i.ReferencedSOPInstanceUID): int(i.FailureReason) for i in report.get("FailedSOPSequence") or ()}
        assert event_type == (2 if bad else 1)
        return good | bad


def _reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return item


class Site:
    """A node that receives and delivers, in this process, and the modality that asks it."""

    def __init__(self, folder: Path, *, archive_port: int = 0) -> None:
        port = free_port()
        self.modality = Modality(port)
        asking = sender("MODALITY", "archive") | {
            "host": LOOPBACK,
            "port": self.modality.port,
            "asks_commitment": True,
        }
        silent = sender("OTHER", "archive")
        archive = peer("archive", archive_port, mode="hold") | {"commitment": bool(archive_port)}
        self.node = Node(settings_of(folder, asking, silent, archive))
        node = self.node
        intake = Intake(node.spool, node.ledger, parameters=PARAMETERS, low_watermark=0, max_object_size=1 << 30)
        self._scp = StoreSCP(
            intake,
            ReceiveSection(port=port),
            peers=node.settings.peers,
            ae_title="CHEXNODE",
            commitment=CommitmentSCP(node.ledger, node.settings.peers),
        )

    @contextlib.contextmanager
    def delivering(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=role.run, args=(self.node.settings, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(role.DRAIN + 10)

    def __enter__(self) -> "Site":
        self.modality.__enter__()
        self._scp.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scp.close(drain=1.0)
        self.modality.__exit__(kind, error, trace)
        self.node.close()

    def conclude(self) -> None:
        """Every image is declined, every study concluded: only a pledge stands in the way of a purge."""
        from tests.test_retention import conclude

        with contextlib.suppress(ValueError):
            while True:
                self.node.decline()
        conclude(self.node, time.time() + 10)

    def purge(self) -> int:
        section = RetentionSection(days=0, watermark=1 << 60)
        return (
            Retention(self.node.ledger, self.node.spool, section)
            .run(now=time.time() + 1e6, stop=threading.Event())
            .studies
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_what_the_node_holds_is_pledged_and_what_it_does_not_is_not(site: Site, syntax: str) -> None:
    held, never = datasets.chest(), datasets.chest()
    site.modality.store(held)
    assert site.modality.ask(held, never, syntax=str(syntax)) == 0x0000
    with site.delivering():
        assert site.modality.reasons() == {held.SOPInstanceUID: 0, never.SOPInstanceUID: 0x0112}


def test_a_pledge_blocks_the_purge_for_good(site: Site) -> None:
    pledged, other = datasets.chest(), datasets.chest()
    site.modality.store(pledged, other)
    site.modality.ask(pledged)
    with site.delivering():
        assert site.modality.reasons() == {pledged.SOPInstanceUID: 0}
    site.conclude()
    assert site.purge() == 1
    assert site.node.study(pledged.StudyInstanceUID).instances[0].instance.state.value == "received"
    assert site.node.study(other.StudyInstanceUID).instances[0].instance.state.value == "purged"


def test_what_an_archive_commits_to_need_not_be_kept_and_is_committed_to_ever_after(tmp_path: Path) -> None:
    there, not_there = datasets.chest(), datasets.chest()
    with CommittingArchive() as archive, Site(tmp_path, archive_port=archive.port) as site:
        archive.reason = lambda uid: 0 if uid == there.SOPInstanceUID else 0x0112
        site.modality.store(there, not_there)
        site.modality.ask(there, not_there)
        with site.delivering():
            assert site.modality.reasons() == {there.SOPInstanceUID: 0, not_there.SOPInstanceUID: 0}
            wait_for("both to be asked about", lambda: len({uid for _, some in archive.requests for uid in some}) == 2)
            wait_for("the archive's word", lambda: _pledged(site) == 1)
        site.conclude()
        assert site.purge() == 1
        assert site.node.study(there.StudyInstanceUID).instances[0].instance.state.value == "purged"
        site.modality.ask(there)
        with site.delivering():
            wait_for("the second report", lambda: len(site.modality.reports) == 2)
        assert site.modality.reasons() == {there.SOPInstanceUID: 0}
        # not asked again at once about what the archive does not have
        assert sum(not_there.SOPInstanceUID in some for _, some in archive.requests) == 1


def test_what_was_purged_is_not_pledged(site: Site) -> None:
    image = datasets.chest()
    site.modality.store(image)
    site.conclude()
    assert site.purge() == 1
    site.modality.ask(image)
    with site.delivering():
        assert site.modality.reasons() == {image.SOPInstanceUID: 0x0112}


def test_bytes_that_are_damaged_are_not_pledged(site: Site) -> None:
    image = datasets.chest()
    site.modality.store(image)
    (row,) = site.node.study(image.StudyInstanceUID).instances
    path = site.node.spool.path(row.instance.spool_key)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    site.modality.ask(image)
    with site.delivering():
        assert site.modality.reasons() == {image.SOPInstanceUID: 0x0112}
    assert _pledged(site) == 0


def test_another_class_is_a_conflict(site: Site) -> None:
    image = datasets.chest()
    site.modality.store(image)
    other = Dataset()
    other.SOPClassUID, other.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", image.SOPInstanceUID
    site.modality.ask(other)
    with site.delivering():
        assert site.modality.reasons() == {image.SOPInstanceUID: 0x0119}


def test_a_report_is_sent_until_it_is_taken(site: Site) -> None:
    image = datasets.chest()
    site.modality.store(image)
    site.modality.answers = [0x0110, 0x0110]
    site.modality.ask(image)
    with site.delivering():
        wait_for("the third report", lambda: len(site.modality.reports) == 3)
        wait_for("it to be noted", lambda: not _owed(site))
    assert {str(report.TransactionUID) for _, report in site.modality.reports} == {
        str(site.modality.reports[0][1].TransactionUID)
    }


def test_a_request_outlives_the_process_that_took_it(site: Site) -> None:
    image = datasets.chest()
    site.modality.store(image)
    site.modality.ask(image)
    assert not site.modality.reports
    assert len(_owed(site)) == 1
    with site.delivering():
        assert site.modality.reasons() == {image.SOPInstanceUID: 0}


def test_asked_again_it_reports_again_and_another_request_under_the_same_uid_is_refused(site: Site) -> None:
    early, late = datasets.chest(), datasets.chest()
    uid = str(generate_uid())
    site.modality.store(early)
    assert site.modality.ask(early, late, uid=uid) == 0x0000
    with site.delivering():
        assert site.modality.reasons(0)[late.SOPInstanceUID] == 0x0112
        wait_for("it to be noted", lambda: not _owed(site))
        site.modality.store(late)
        assert site.modality.ask(early, late, uid=uid) == 0x0000
        assert site.modality.reasons(1) == {early.SOPInstanceUID: 0, late.SOPInstanceUID: 0}
    assert site.modality.ask(early, uid=uid) == 0x0210


def test_a_peer_that_may_not_ask_is_told_so(site: Site) -> None:
    image = datasets.chest()
    site.modality.store(image)
    assert site.modality.ask(image, calling="OTHER") == 0x0124
    assert _owed(site) == []


def test_what_makes_no_sense_is_answered_with_a_status(site: Site) -> None:
    image, request = datasets.chest(), Dataset()
    assert site.modality.ask(image, action=2) == 0x0123
    assert site.modality.ask() == 0x0212
    request.ReferencedSOPSequence = [_reference(image)]
    assert site.modality.send(request) == 0x0212
    request.TransactionUID = generate_uid()
    assert site.modality.send(request, instance="1.2.3") == 0x0112
    # a request whose list is that of a report's failures
    request.FailedSOPSequence = request.ReferencedSOPSequence
    del request.ReferencedSOPSequence
    assert site.modality.send(request) == 0x0115
    assert _owed(site) == []


def test_a_peer_that_never_takes_its_report_is_given_up(site: Site) -> None:
    image = datasets.chest()
    site.modality.store(image)
    site.modality.answers = [0x0110] * 100
    site.modality.ask(image)
    with site.node.ledger.transaction() as tx:
        tx.execute(update(schema.commitment).values(created_at=0.0))
    with site.delivering():
        wait_for("the end", lambda: not _owed(site))
    assert len(site.modality.reports) == 1
    assert _pledged(site) == 1


def _owed(site: Site) -> Sequence[pledges.Owed]:
    with site.node.ledger.reading() as tx:
        return pledges.owed(tx)


def _pledged(site: Site) -> int:
    with site.node.ledger.reading() as tx:
        return pledges.count(tx)
