"""Whatever happens in whatever order: the promises of the ledger hold after each step."""

import contextlib
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from dicom_node.domain import (
    ARRIVED,
    TRANSITIONS,
    CommitmentState,
    DeliveryState,
    InstanceState,
    JobState,
    Kind,
    Reason,
    RejectionTitle,
    ResultState,
    State,
    StudyState,
)
from dicom_node.errors import LostRace
from dicom_node.ledger import (
    Ledger,
    commitments,
    deliveries,
    holding,
    instances,
    jobs,
    reanalysis,
    recall,
    rejections,
    schema,
    versions,
    withdrawals,
)
from dicom_node.ledger.commitments import Asked
from dicom_node.ledger.deliveries import ClaimedDelivery, NewDelivery
from dicom_node.ledger.identity import Identity
from dicom_node.ledger.instances import Outcome
from dicom_node.ledger.jobs import ClaimedJob
from dicom_node.ledger.versions import Verdict
from tests.contract.world import ATTEMPTS, LEASE, MODEL, PARAMETERS, QUIET, World, arrival, stored
from tests.memory import MEMORY

_NOUNS: dict[str, type[State]] = {
    "study": StudyState,
    "instance": InstanceState,
    "job": JobState,
    "result": ResultState,
    "delivery": DeliveryState,
    "commitment": CommitmentState,
}
#: a row is made in one of these
_FIRST = {"open", "received", "queued", "kept", "held", "pending", "awaited"}
_IMAGES = st.integers(min_value=1, max_value=3)
_PICTURES = st.sampled_from(["picture", "picture", "other picture"])


class Histories(RuleBasedStateMachine):
    """Receivers, workers that may be late, a concluder, senders and an operator, in any order."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        shutil.copy(self.template, self.folder.name)
        self.world = World(Ledger.open(f"sqlite:///{self.folder.name}/ledger.sqlite"))
        self.now = 0.0
        self.claims: list[ClaimedJob] = []
        self.sendings: list[ClaimedDelivery] = []
        self.asked: list[Asked] = []
        self.results = 0
        self.known: set[str] = set()
        #: by SOP Instance UID; None: a person may have chosen an older one
        self.newest: dict[str, int] | None = {}

    def teardown(self) -> None:
        self.world.ledger.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        self.receive(image=1, data="a", study=1, patient="P")

    @rule(seconds=st.sampled_from([1.0, 11.0, 61.0, 601.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        image=_IMAGES,
        data=st.sampled_from("ab"),
        study=st.integers(min_value=1, max_value=2),
        patient=st.sampled_from("PQ"),
    )
    def receive(self, image: int, data: str, study: int, patient: str) -> None:
        one = arrival(image, data=data, study=study, patient_id=patient)
        (made,) = self.world.receive(one, now=self.now)
        assert (made.outcome is Outcome.DUPLICATE) == (one.digest in self.known)
        self.known.add(one.digest)

    @rule(limit=st.integers(min_value=1, max_value=3))
    def claim(self, limit: int) -> None:
        self.claims += self.world.claim(now=self.now, limit=limit)

    @rule(data=st.data(), picture=_PICTURES, encoded=st.booleans())
    def work(self, data: st.DataObject, picture: str, encoded: bool) -> None:
        """A worker finishes one of the jobs that it was ever given, perhaps too late."""
        if not self.claims:
            return
        claim = data.draw(st.sampled_from(self.claims))
        self.claims.remove(claim)
        try:
            self._finish(claim, picture, encoded)
        except LostRace:
            with self.world.ledger.reading() as tx:
                row = tx.execute(select(schema.job).where(schema.job.c.id == claim.job_id)).mappings().one()
            current = row["state"] == "running" and row["token"] == claim.token
            assert not current or not claim.instance.is_current, "only who lost it loses"

    def _finish(self, claim: ClaimedJob, picture: str, encoded: bool) -> None:
        self.results += 1
        made = [stored(f"2.25.{self.results}")] if encoded else []
        if claim.instance.is_current:
            self.world.done(claim, now=self.now, encoded=made, picture=picture)
            return
        before, verdict = self.world.judge(claim, picture=picture)
        if verdict is Verdict.WAIT:
            with self.world.ledger.transaction() as tx:
                jobs.postpone(tx, claim, now=self.now, not_before=self.now + 1, reason="too early")
        elif verdict is Verdict.ANALYSE:
            self.world.done(claim, now=self.now, encoded=made, picture=picture)
        elif verdict is Verdict.QUARANTINE:
            with self.world.ledger.transaction() as tx:
                versions.quarantine(tx, claim, reason=Reason.DIFFERENT_PICTURE, picture_digest=picture, now=self.now)
        else:
            renewed = verdict is Verdict.RE_ENCODE
            with self.world.ledger.transaction() as tx:
                versions.adopt(
                    tx,
                    claim,
                    before,
                    picture_digest=picture,
                    now=self.now,
                    encoded=made if renewed else None,
                    identity=Identity(patient_id="R", issuer_of_patient_id="", accession_number="")
                    if renewed
                    else None,
                )

    @rule(to=st.sampled_from([JobState.DECLINED, JobState.UNREADABLE, JobState.QUEUED]), data=st.data())
    def fail(self, to: JobState, data: st.DataObject) -> None:
        if not self.claims:
            return
        claim = data.draw(st.sampled_from(self.claims))
        self.claims.remove(claim)
        try:
            if to is JobState.QUEUED:
                with self.world.ledger.transaction() as tx:
                    jobs.retry(tx, claim, now=self.now, not_before=self.now + 5, error="x", attempts_allowed=ATTEMPTS)
            else:
                self.world.unread(claim, to, Reason.TRUNCATED, now=self.now)
        except LostRace:
            pass

    @rule()
    def leases_end(self) -> None:
        with self.world.ledger.transaction() as tx:
            jobs.reclaim_expired(tx, now=self.now, attempts_allowed=ATTEMPTS)
            deliveries.reclaim_expired(tx, now=self.now)

    @rule(held=st.booleans())
    def conclude(self, held: bool) -> None:
        self.world.through(now=self.now, held=held)

    @rule(end=st.sampled_from(["stored", "uncommitted", "retry"]))
    def everything_goes_its_way(self, end: str) -> None:
        """All that is queued is analysed, concluded and sent: by chance alone little gets that far."""
        for claim in self.world.claim(now=self.now):
            with contextlib.suppress(LostRace):
                self._finish(claim, "picture", encoded=True)
        self.now += QUIET + 1
        self.world.through(now=self.now)
        for sending in self.world.sending(now=self.now):
            with contextlib.suppress(LostRace):
                self._sent(sending, end)

    @rule(data=st.data(), end=st.sampled_from(["stored", "uncommitted", "refused", "retry"]))
    def send(self, data: st.DataObject, end: str) -> None:
        self.sendings += self.world.sending(now=self.now, limit=1)
        if not self.sendings:
            return
        claim = data.draw(st.sampled_from(self.sendings))
        self.sendings.remove(claim)
        with contextlib.suppress(LostRace):
            self._sent(claim, end)

    def _sent(self, claim: ClaimedDelivery, end: str) -> None:
        with self.world.ledger.transaction() as tx:
            if end == "stored":
                deliveries.stored(tx, claim, self.now)
            elif end == "uncommitted":
                deliveries.stored(tx, claim, self.now, ask_at=self.now)
            elif end == "refused":
                deliveries.refused(tx, claim, self.now, "no")
            else:
                deliveries.retry(tx, claim, now=self.now, not_before=self.now + 5, error="no")

    @rule(within=st.sampled_from([5.0, 500.0]), how=st.sampled_from(["committed", "failed", "unheard", "silence"]))
    def ask_for_commitment(self, within: float, how: str) -> None:
        """Of whatever is there: what is still to be sent is sent before."""
        self.everything_goes_its_way("uncommitted")
        self.results += 1
        with self.world.ledger.transaction() as tx:
            asked = commitments.ask(
                tx,
                destination="pacs",
                transaction_uid=f"2.25.{self.results}",
                now=self.now,
                gather=0.0,
                report_by=self.now + within,
                limit=3,
            )
        if asked is not None:
            self.asked.append(asked)
            if how != "silence":
                self._report(asked, how)

    @rule(data=st.data(), how=st.sampled_from(["committed", "failed", "unheard", "refused"]))
    def report(self, data: st.DataObject, how: str) -> None:
        """The destination answers one of the requests that it ever got, perhaps late, perhaps twice."""
        if not self.asked:
            return
        self._report(data.draw(st.sampled_from(self.asked)), how)

    def _report(self, asked: Asked, how: str) -> None:
        uids = [each.sop_instance_uid for each in asked.references]
        with self.world.ledger.transaction() as tx:
            if how in ("unheard", "refused"):
                counts = how == "refused"
                commitments.unheard(tx, asked, now=self.now, not_before=self.now + 5, error="no", counts=counts)
                return
            assert commitments.answer(
                tx,
                destinations=["pacs"],
                transaction_uid=asked.transaction_uid,
                committed=uids if how == "committed" else (),
                failures={} if how == "committed" else dict.fromkeys(uids, 0x0112),
                now=self.now,
            )

    @rule(what=st.sampled_from(["release", "abandon", "forgo", "requeue", "retry", "accept"]))
    def operate(self, what: str) -> None:
        with self.world.ledger.transaction() as tx:
            if what == "release":
                holding.release(tx, now=self.now)
            elif what == "abandon":
                holding.abandon(tx, now=self.now, reason="by hand", destination="pacs")
            elif what == "forgo":
                commitments.forgo(tx, now=self.now, reason="by hand", destination="pacs")
            elif what == "requeue":
                holding.requeue(tx, now=self.now)
            elif what == "retry":
                for job_id in jobs.failed(tx):
                    assert jobs.requeue(tx, job_id, self.now)
            else:
                self.newest = None
                quarantined = schema.instance.c.state == InstanceState.QUARANTINED.value
                for key in tx.execute(select(schema.instance.c.id).where(quarantined)).scalars().all():
                    assert instances.accept(tx, key, self.now)

    @rule(image=_IMAGES, title=st.sampled_from(RejectionTitle))
    def reject(self, image: int, title: RejectionTitle) -> None:
        """A rejection note names an image, whether or not it has come."""
        with self.world.ledger.transaction() as tx:
            named = arrival(image).head.sop_instance_uid
            rejections.enter(tx, [named], title=title, note="1.2.3", study_id=1, now=self.now)

    @rule(data=st.data())
    def recall(self, data: st.DataObject) -> None:
        with self.world.ledger.transaction() as tx:
            made = sorted({one.result_id for one in recall.find(tx)})
            if made:
                recall.mark(tx, [data.draw(st.sampled_from(made))], title=RejectionTitle.QUALITY, now=self.now)

    @rule()
    def write_notes(self) -> None:
        with self.world.ledger.transaction() as tx:
            for study_id, objects in withdrawals.unnoted(tx, limit=10).items():
                self.results += 1
                note = stored(f"2.25.{self.results}", Kind.KOS)
                ids = [one.withdrawal_id for one in objects]
                note_id = withdrawals.note(tx, ids, note, study_id=study_id, now=self.now)
                wanted = [NewDelivery(result_id=note_id, destination="pacs", held=False, released=True)]
                deliveries.queue_deliveries(tx, wanted, study_id=study_id, now=self.now)

    @rule(model=st.sampled_from([MODEL, "dd" * 32]), withdraw=st.booleans())
    def reanalyse(self, model: str, withdraw: bool) -> None:
        self.world.activate(model)
        with self.world.ledger.transaction() as tx:
            title = RejectionTitle.QUALITY if withdraw else None
            for study_id in tx.execute(select(schema.study.c.id)).scalars().all():
                wanted = reanalysis.candidates(tx, study_id, parameters=PARAMETERS, by_source={})
                reanalysis.queue(tx, wanted, recall_title=title, now=self.now)

    @invariant()
    def the_events_tell_each_state(self) -> None:
        """Each row's events are moves of the table, end to end, and end in the state that the row is in."""
        with self.world.ledger.reading() as tx:
            told: dict[tuple[str, int], str] = {}
            for row in tx.execute(select(schema.event).order_by(schema.event.c.id)).mappings():
                states = _NOUNS[row["noun"]]
                came, went = states(row["from_state"]), states(row["to_state"])
                assert went in TRANSITIONS[states][came]
                assert told.get((row["noun"], row["key"]), came) == came
                told[row["noun"], row["key"]] = went
            for noun in _NOUNS:
                table = schema.metadata.tables[noun]
                for key, state in tx.execute(select(table.c.id, table.c.state)).all():
                    if (noun, key) in told:
                        assert told[noun, key] == state
                    else:
                        assert state in _FIRST

    @invariant()
    def one_version_of_each_image_is_current(self) -> None:
        with self.world.ledger.reading() as tx:
            current: dict[str, int] = defaultdict(int)
            for row in tx.execute(select(schema.instance)).mappings():
                current[row["sop_instance_uid"]] += row["is_current"]
                assert not (row["is_current"] and row["state"] == "quarantined")
                if row["is_current"] and self.newest is not None:
                    before = self.newest.get(row["sop_instance_uid"], 0)
                    assert row["id"] >= before, "an older version never comes back by itself"
                    self.newest[row["sop_instance_uid"]] = row["id"]
        assert set(current.values()) <= {1}

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """A concluded study has an outcome of each of its images, or waits for one that will reopen it."""
        with self.world.ledger.reading() as tx:
            for row in tx.execute(select(schema.study)).mappings():
                if row["state"] != "concluded":
                    continue
                sent = select(schema.delivery.c.result_id).where(schema.delivery.c.study_id == row["id"])
                unsent = select(schema.result.c.id).where(
                    schema.result.c.study_id == row["id"],
                    schema.result.c.is_current,
                    schema.result.c.id.not_in(sent),
                )
                assert tx.execute(unsent).all() == [], "a current result of a concluded study has a delivery"

    @invariant()
    def what_is_superseded_is_not_released(self) -> None:
        with self.world.ledger.reading() as tx:
            held = (
                select(schema.delivery.c.id)
                .join(schema.result, schema.result.c.id == schema.delivery.c.result_id)
                .where(~schema.result.c.is_current, schema.delivery.c.state == "held")
            )
            assert tx.execute(held).all() == []

    @invariant()
    def an_image_has_one_current_result_set(self) -> None:
        with self.world.ledger.reading() as tx:
            makers: dict[str, set[int]] = defaultdict(set)
            rows = tx.execute(
                select(schema.instance.c.sop_instance_uid, schema.result.c.job_id)
                .join(schema.job, schema.job.c.instance_id == schema.instance.c.id)
                .join(schema.result, schema.result.c.job_id == schema.job.c.id)
                .where(schema.result.c.is_current)
            )
            for sop_instance_uid, job_id in rows.all():
                makers[sop_instance_uid].add(job_id)
        assert {uid: jobs for uid, jobs in makers.items() if len(jobs) > 1} == {}

    @invariant()
    def nothing_is_made_of_a_rejected_image(self) -> None:
        with self.world.ledger.reading() as tx:
            rows = tx.execute(
                select(schema.job.c.state, schema.result.c.is_current)
                .join(schema.instance, schema.instance.c.id == schema.job.c.instance_id)
                .join(schema.rejected, schema.rejected.c.sop_instance_uid == schema.instance.c.sop_instance_uid)
                .outerjoin(schema.result, schema.result.c.job_id == schema.job.c.id)
            )
            assert {tuple(row) for row in rows.all()} <= {
                (state, current) for state in ("declined", "unreadable") for current in (False, None)
            }

    @invariant()
    def what_is_recalled_is_withdrawn_where_it_is(self) -> None:
        with self.world.ledger.reading() as tx:
            rows = tx.execute(
                select(schema.delivery.c.state, schema.result.c.is_current, schema.withdrawal.c.id)
                .join(schema.result, schema.result.c.id == schema.delivery.c.result_id)
                .outerjoin(schema.withdrawal, schema.withdrawal.c.delivery_id == schema.delivery.c.id)
                .where(schema.result.c.recall_title != "")
            )
            for state, current, withdrawn in rows.all():
                assert not current
                assert state not in ("held", "failed") or withdrawn is not None
                assert state not in {arrived.value for arrived in ARRIVED} or withdrawn is not None

    @invariant()
    def what_is_committed_was_said_to_be(self) -> None:
        with self.world.ledger.reading() as tx:
            items = select(schema.commitment_item.c.delivery_id).where(schema.commitment_item.c.failure_reason == 0)
            unsaid = select(schema.delivery.c.id).where(
                schema.delivery.c.state == "committed", schema.delivery.c.id.not_in(items)
            )
            assert tx.execute(unsaid).all() == []

    @invariant()
    def a_lease_belongs_to_who_runs(self) -> None:
        with self.world.ledger.reading() as tx:
            for table, running in ((schema.job, "running"), (schema.delivery, "sending")):
                for row in tx.execute(select(table)).mappings():
                    assert (row["lease_until"] is not None) == (row["state"] == running)
                    assert row["lease_until"] is None or row["lease_until"] <= self.now + LEASE


def test_the_promises_hold_in_any_order() -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        Histories.template = Path(folder) / "ledger.sqlite"
        Ledger.migrate(f"sqlite:///{Histories.template}")
        run_state_machine_as_test(
            Histories,
            settings=settings(
                max_examples=25,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
