"""Bytes to Examination: select, read, predict. Knows no ledger; for the worker and for `chexnode infer` alike.

Children decode, each its own file, while threads have the model predict. A batch is what waits when the model is free,
at most `analyse.batch_size`: nothing waits for a companion, a lone film goes at once, and under load batches fill by
themselves, since they wait for the batch before them.
"""

import contextlib
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from dicom_node.analyse.decode import Decoder
from dicom_node.analyse.decoded import Decoded, DecodeRequest
from dicom_node.analyse.examination import Examination, judged, unpredicted
from dicom_node.sections import AnalyseSection, SelectSection
from model.contract import Film, Manifest, Prediction, Predictor

Key = TypeVar("Key")

#: films in a batch where the site says nothing: more gain little on a CPU, and the next film waits for all of them
BATCH, BATCH_ON_GPU = 4, 16
#: batches that any model is given at a time
_MOST_LANES = 2


def always(_decoded: Decoded) -> bool:
    """Wants a prediction of whatever was read."""
    return True


@dataclass(frozen=True, kw_only=True)
class _Task(Generic[Key]):
    key: Key
    path: Path
    wants_prediction: Callable[[Decoded], bool]
    #: stage -> seconds, by what moves it on
    spent: dict[str, float] = field(default_factory=dict)
    #: monotonic seconds: when it came to where it waits
    since: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Batch(Generic[Key]):
    """What the model looks at now."""

    tasks: Sequence[tuple[_Task[Key], Decoded]]
    predictions: Future[tuple[list[Prediction], Manifest, float]]


class Examiner(Generic[Key]):
    """Several children decode at the same time, and the model predicts beside them.

    A context manager. The children start at once, so that they load while the model does: give the predictor by
    `predictor` as soon as it is there. `on_progress` is called from other threads whenever `finished` has something to
    do. Not for use by several threads at a time.
    """

    def __init__(
        self,
        limits: AnalyseSection,
        rules: SelectSection,
        predictor: Predictor | None = None,
        *,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.predictor = predictor
        #: batches that the model is given at a time: 2 where it prepares one while a GPU looks at the other
        self.lanes = 1
        #: most films in a batch
        self.batch_size = limits.batch_size or BATCH
        self.on_progress = on_progress
        decoders = limits.decoders_used
        self._decoders = decoders
        self._idle: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        self._all = [Decoder(limits, rules) for _ in range(decoders)]
        for decoder in self._all:
            self._idle.put(decoder)
        self._pool = ThreadPoolExecutor(decoders, thread_name_prefix="decode")
        self._model = ThreadPoolExecutor(_MOST_LANES, thread_name_prefix="predict")
        self._decoding: dict[Future[Decoded], _Task[Key]] = {}
        self._read: deque[tuple[_Task[Key], Decoded]] = deque()
        self._predicting: list[_Batch[Key]] = []

    @property
    def under_way(self) -> int:
        """Requests that were submitted and have not come back."""
        return len(self._decoding) + len(self._read) + sum(len(batch.tasks) for batch in self._predicting)

    @property
    def most(self) -> int:
        """Requests that may be under way, and so films in memory at a time.

        One in the hands of each child, one batch that waits for the model, and those that it is given.
        """
        return self._decoders + (1 + self.lanes) * self.batch_size

    @property
    def room(self) -> int:
        """Requests that may be submitted now without waiting in a long line."""
        return max(0, self.most - self.under_way)

    @property
    def pending(self) -> set[Future[Any]]:
        """What `finished` waits for."""
        return {*self._decoding, *(batch.predictions for batch in self._predicting)}

    def submit(self, key: Key, request: DecodeRequest, *, wants_prediction: Callable[[Decoded], bool] = always) -> None:
        """Begin one examination; `finished` gives it back under `key`.

        `wants_prediction` is asked in the thread that calls `finished`, once there is a film.
        """
        task = _Task(key=key, path=request.path, wants_prediction=wants_prediction, since=time.monotonic())
        future = self._pool.submit(self._decode, request, task)
        self._decoding[future] = task
        future.add_done_callback(lambda _: self.on_progress())

    def finished(self, timeout: float) -> list[tuple[Key, Examination]]:
        """What has come to an end, waiting `timeout` seconds at most; what was read meanwhile goes to the model.

        Raises ModelError, and DecoderUnavailable where no child starts; call `abandon` then.
        """
        deadline = time.monotonic() + timeout
        while not (ended := self._gathered()):
            left = deadline - time.monotonic()
            if left <= 0 or not (pending := self.pending):
                break
            wait(pending, timeout=left, return_when=FIRST_COMPLETED)
        return ended

    def abandon(self) -> None:
        """Forget all that is under way."""
        for future in self._decoding:
            future.cancel()
        self._decoding.clear()
        self._read.clear()
        self._predicting.clear()

    def close(self) -> None:
        """End every child, whatever it is doing."""
        self.abandon()
        for decoder in self._all:
            decoder.kill()
        for pool in (self._pool, self._model):
            pool.shutdown(wait=True, cancel_futures=True)
        for decoder in self._all:
            decoder.close()

    def __enter__(self) -> "Examiner[Key]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decode(self, request: DecodeRequest, task: _Task[Key]) -> Decoded:
        decoder = self._idle.get()
        begun = time.monotonic()
        try:
            return decoder.decode(request)
        finally:
            self._idle.put(decoder)
            task.spent.update(line=begun - task.since, decode=time.monotonic() - begun)

    def _gathered(self) -> list[tuple[Key, Examination]]:
        """What the model has said and what needs no word of it; then the model gets the next batch."""
        ended = self._predicted()
        for future in [future for future in self._decoding if future.done()]:
            task = self._decoding.pop(future)
            decoded = future.result()
            if decoded.film is not None and task.wants_prediction(decoded):
                self._read.append((replace(task, since=time.monotonic()), decoded))
            else:
                ended.append((task.key, replace(unpredicted(task.path, decoded), spent=task.spent)))
        while self._read and len(self._predicting) < min(self.lanes, _MOST_LANES):
            self._predict()
        return ended

    def _predict(self) -> None:
        if self.predictor is None:
            raise RuntimeError("there is a film, but no predictor: set Examiner.predictor first")
        tasks = [self._read.popleft() for _ in range(min(self.batch_size, len(self._read)))]
        now = time.monotonic()
        for task, _ in tasks:
            task.spent["turn"] = now - task.since
        films = [decoded.film for _, decoded in tasks if decoded.film is not None]
        predictions = self._model.submit(_timed, self.predictor, films)
        self._predicting.append(_Batch(tasks=tasks, predictions=predictions))
        predictions.add_done_callback(lambda _: self.on_progress())

    def _predicted(self) -> list[tuple[Key, Examination]]:
        done = [batch for batch in self._predicting if batch.predictions.done()]
        self._predicting = [batch for batch in self._predicting if batch not in done]
        return [one for batch in done for one in self._judged(batch)]

    def _judged(self, batch: _Batch[Key]) -> Iterator[tuple[Key, Examination]]:
        predictions, manifest, seconds = batch.predictions.result()
        share = {"predict": seconds / len(predictions), "batch": seconds}
        for (task, decoded), one in zip(batch.tasks, predictions, strict=True):
            yield task.key, replace(judged(task.path, decoded, one, manifest), spent={**task.spent, **share})


def _timed(predictor: Predictor, films: Sequence[Film]) -> tuple[list[Prediction], Manifest, float]:
    started = time.monotonic()
    predictions = predictor.predict(films)
    return predictions, predictor.manifest, time.monotonic() - started


def examine(
    paths: Iterable[Path],
    predictor: Predictor,
    *,
    limits: AnalyseSection,
    rules: SelectSection,
    today: date,
) -> Iterator[Examination]:
    """Examine files in their order, several at a time. Raises ModelError, DecoderUnavailable."""
    waiting = enumerate(paths)
    ended: dict[int, Examination] = {}
    position = 0
    with Examiner[int](limits, rules, predictor) as examiner:
        while True:
            # what has ended but is not its turn yet holds its film: it counts
            for number, path in _up_to(waiting, examiner.room - len(ended)):
                examiner.submit(number, DecodeRequest(path=path, arrived=today))
            if not examiner.under_way and not ended:
                return
            ended.update(examiner.finished(timeout=1.0))
            while position in ended:
                yield ended.pop(position)
                position += 1


def _up_to(waiting: Iterator[tuple[int, Path]], most: int) -> Iterator[tuple[int, Path]]:
    for _ in range(most):
        with contextlib.suppress(StopIteration):
            yield next(waiting)
