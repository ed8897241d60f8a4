"""Claims jobs, has them examined, and finishes them; whatever kills it, its leases end and others take over.

What was examined is encoded and committed by threads, so that claiming and the model go on meanwhile.
Jobs of a first attempt run together. One that was tried before runs alone, in a fresh child: it may be what ended the
attempt, and nothing else shall end with it (law 8).
"""

import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import partial

import structlog

from dicom_node import retry
from dicom_node.analyse.decoded import DecodeRequest
from dicom_node.analyse.encoders import EncodingFailed
from dicom_node.analyse.examination import Examination
from dicom_node.analyse.examine import Examiner
from dicom_node.analyse.finish import Finisher, Held
from dicom_node.domain import JobState
from dicom_node.errors import (
    DecoderUnavailable,
    EncoderUnavailable,
    LostRace,
    NodeError,
    OutOfRoom,
    StorageFault,
)
from dicom_node.ledger import Ledger, jobs
from dicom_node.sections import AnalyseSection
from dicom_node.spool import Spool
from model.contract import ModelError

log = structlog.get_logger()

#: seconds before a job is tried again: after its first attempt, and at most
_RETRY_FIRST, _RETRY_LONGEST = 2.0, 120.0
#: seconds before a job is taken up again that the node, not the job, could not do
_NODE_WAIT = 20.0
#: seconds that what was examined already may take to be finished when the model fails
_SETTLE = 10.0


class Worker:
    """One process's share of the queue. `finishers`: jobs that are encoded and committed at a time.

    `parameters_for` tells the digest of the settings that hold for a calling AE title, `clock` seconds since the epoch.
    """

    def __init__(
        self,
        ledger: Ledger,
        spool: Spool,
        examiner: Examiner[int],
        finisher: Finisher,
        limits: AnalyseSection,
        *,
        owner: str,
        model_digest: str,
        parameters_for: Callable[[str], str],
        finishers: int = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._spool = spool
        self._examiner = examiner
        self._finisher = finisher
        self._limits = limits
        self._owner = owner
        self._model_digest = model_digest
        self._parameters_for = parameters_for
        self._clock = clock
        self._pool = ThreadPoolExecutor(finishers, thread_name_prefix="finish")
        #: films in memory at a time: what the examiner takes, and for each finisher one in hand and one that waits
        self._most = examiner.most + 2 * finishers
        #: examined, and on the way into the ledger
        self._finishing: dict[Future[None], Held] = {}
        #: claimed, by job id
        self._held: dict[int, Held] = {}
        #: of those: tried before, and not submitted yet
        self._alone: deque[Held] = deque()
        #: the job that runs alone now
        self._running_alone: int | None = None

    @property
    def busy(self) -> bool:
        """It holds jobs."""
        return bool(self._held)

    def step(self, timeout: float) -> None:
        """Move on what moves within `timeout` seconds, then claim what there is room for.

        Raises ModelError, after which the process should start anew, and what the ledger raises; its jobs are
        queued again then, or will be once their leases have ended.
        """
        self._progress(timeout)
        # afterwards: what has just been finished makes room, and nothing may wake it before that is taken
        self._claim()

    def drain(self, seconds: float) -> None:
        """Finish what is under way for `seconds` at most, and give the rest back uncounted."""
        deadline = time.monotonic() + seconds
        for held in self._alone:
            self._postpone(held, "the node is stopping", wait=0.0)
        self._alone.clear()
        while self._held and (left := deadline - time.monotonic()) > 0:
            self._progress(min(left, 1.0))
        for held in list(self._held.values()):
            self._postpone(held, "the node is stopping", wait=0.0)

    def close(self) -> None:
        """Wait for no thread: what it still finishes was given back, and loses the race."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _claim(self) -> None:
        if self._alone or self._running_alone is not None:
            self._start_alone()
            return
        room, now = min(self._examiner.room, self._most - len(self._held)), self._clock()
        if room <= 0:
            return
        with self._ledger.reading() as tx:
            due = jobs.next_due(tx)
        if due is None or due > now:
            return
        with self._ledger.transaction() as tx:
            claims = jobs.claim(
                tx,
                owner=self._owner,
                now=now,
                lease=self._limits.lease,
                limit=room,
                model_digest=self._model_digest,
            )
            claims = [
                jobs.read_under(tx, claim, self._parameters_for(claim.instance.calling_ae_title)) for claim in claims
            ]
        for claim in claims:
            held = Held(claim=claim, leased_at=now)
            self._held[claim.job_id] = held
            if claim.attempts > 1:
                self._alone.append(held)
            else:
                self._submit(held, alone=False)
        self._start_alone()

    def _start_alone(self) -> None:
        if self._alone and len(self._held) == len(self._alone):
            held = self._alone.popleft()
            self._running_alone = held.claim.job_id
            self._submit(held, alone=True)

    def _submit(self, held: Held, *, alone: bool) -> None:
        instance = held.claim.instance
        request = DecodeRequest(
            path=self._spool.path(instance.spool_key),
            calling_ae_title=instance.calling_ae_title,
            arrived=datetime.fromtimestamp(instance.received_at, UTC).astimezone().date(),
            alone=alone,
            # a version that stands beside another is compared with it: all of its picture is needed
            reduced=self._limits.reduced_resolution and instance.is_current,
        )
        self._examiner.submit(
            held.claim.job_id, request, wants_prediction=partial(self._finisher.wants_prediction, held)
        )

    def _progress(self, timeout: float) -> None:
        if not self._held:
            return
        self._extend()
        if not self._moved_on() and (pending := {*self._examiner.pending, *self._finishing}):
            wait(pending, timeout, return_when=FIRST_COMPLETED)
            self._moved_on()

    def _moved_on(self) -> bool:
        """Take what has been examined, and what has been finished; whether there was any."""
        try:
            ended = self._examiner.finished(0)
        except ModelError as error:
            # one of these films may be the cause: each is tried again alone
            for held in self._give_up():
                self._retry(held, f"the model failed: {error}")
            raise
        except DecoderUnavailable as error:
            log.warning("no file can be read", error=str(error))
            for held in self._give_up():
                self._postpone(held, str(error), wait=_NODE_WAIT)
            return True
        for job_id, examination in ended:
            self._finish(job_id, examination)
        finished = [future for future in self._finishing if future.done()]
        for future in finished:
            self._finished(self._finishing.pop(future), future)
        return bool(ended or finished)

    def _finish(self, job_id: int, examination: Examination) -> None:
        held = self._held.get(job_id)
        if held is None:
            return
        if examination.transient:
            self._let_go(held)
            self._retry(held, examination.detail)
            return
        future = self._pool.submit(self._finisher.finish, held, examination)
        self._finishing[future] = held
        future.add_done_callback(lambda _: self._examiner.on_progress())

    def _finished(self, held: Held, future: Future[None]) -> None:
        self._let_go(held)
        try:
            future.result()
        except LostRace as error:
            log.warning("lost a job", job=held.claim.job_id, error=str(error))
        except (OutOfRoom, StorageFault, EncoderUnavailable) as error:
            self._postpone(held, str(error), wait=_NODE_WAIT)
        except NodeError:
            raise
        except Exception as error:  # one image must not end the process: it is retried, then FAILED
            why = str(error) if isinstance(error, EncodingFailed) else type(error).__name__
            log.warning("a job broke", job=held.claim.job_id, why=why, exc_info=error)
            self._retry(held, f"its results cannot be made ({why})")

    def _let_go(self, held: Held) -> None:
        self._held.pop(held.claim.job_id, None)
        if held.claim.job_id == self._running_alone:
            self._running_alone = None

    def _extend(self) -> None:
        """Hold on to what has been ours for a third of its lease."""
        now = self._clock()
        old = [held for held in self._held.values() if now - held.leased_at > self._limits.lease / 3]
        if not old:
            return
        with self._ledger.transaction() as tx:
            for held in old:
                jobs.extend(tx, held.claim, now=now, lease=self._limits.lease)
                held.leased_at = now

    def _give_up(self) -> list[Held]:
        """Let go of everything but what is as good as finished; what was held."""
        self._examiner.abandon()
        done, _ = wait(self._finishing, _SETTLE)
        for future in done:
            self._finished(self._finishing.pop(future), future)
        self._finishing.clear()
        held = list(self._held.values())
        self._held.clear()
        self._alone.clear()
        self._running_alone = None
        return held

    def _retry(self, held: Held, error: str) -> None:
        claim, now = held.claim, self._clock()
        wait = retry.wait(
            claim.attempts,
            first=_RETRY_FIRST,
            longest=_RETRY_LONGEST,
            jitter=random.random(),  # noqa: S311 - spreads attempts, guards nothing
        )
        try:
            with self._ledger.transaction() as tx:
                state = jobs.retry(
                    tx,
                    claim,
                    now=now,
                    not_before=now + wait,
                    error=error,
                    attempts_allowed=self._limits.attempts,
                )
        except LostRace:
            return
        level = log.error if state is JobState.FAILED else log.warning
        level("a job did not work out", job=claim.job_id, attempts=claim.attempts, state=state.value, error=error)

    def _postpone(self, held: Held, reason: str, *, wait: float) -> None:
        self._held.pop(held.claim.job_id, None)
        now = self._clock()
        try:
            with self._ledger.transaction() as tx:
                jobs.postpone(tx, held.claim, now=now, not_before=now + wait, reason=reason)
        except LostRace:
            return
        log.info("a job was postponed", job=held.claim.job_id, reason=reason)
