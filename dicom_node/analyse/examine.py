"""Bytes to Examination: select, read, predict. Knows no ledger; for the worker and for `chexnode infer` alike."""

import contextlib
import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from dicom_node.analyse.decode import Decoder
from dicom_node.analyse.decoded import Decoded, DecodeRequest
from dicom_node.analyse.examination import Examination, judged, unpredicted
from dicom_node.sections import AnalyseSection, SelectSection
from model.contract import Predictor

Key = TypeVar("Key")


def always(_decoded: Decoded) -> bool:
    """Wants a prediction of whatever was read."""
    return True


@dataclass(frozen=True, kw_only=True)
class _Task(Generic[Key]):
    key: Key
    path: Path
    wants_prediction: Callable[[Decoded], bool]


class Examiner(Generic[Key]):
    """Several children decode at the same time; what waits for the model then goes to it in one batch.

    A context manager. The children start at once, so that they load while the model does: give the predictor by
    `predictor` as soon as it is there. Not for use by several threads at a time.
    """

    def __init__(self, limits: AnalyseSection, rules: SelectSection, predictor: Predictor | None = None) -> None:
        self.predictor = predictor
        self._batch_size = limits.batch_size
        #: requests that may be under way: each child has one, the next one waits, and a batch is read
        self._most = 2 * limits.decoders + limits.batch_size
        self._idle: queue.SimpleQueue[Decoder] = queue.SimpleQueue()
        self._all = [Decoder(limits, rules) for _ in range(limits.decoders)]
        for decoder in self._all:
            self._idle.put(decoder)
        self._pool = ThreadPoolExecutor(limits.decoders, thread_name_prefix="decode")
        self._decoding: dict[Future[Decoded], _Task[Key]] = {}
        self._read: list[tuple[_Task[Key], Decoded]] = []

    @property
    def under_way(self) -> int:
        """Requests that were submitted and have not come back."""
        return len(self._decoding) + len(self._read)

    @property
    def room(self) -> int:
        """Requests that may be submitted now without waiting in a long line."""
        return max(0, self._most - self.under_way)

    def submit(self, key: Key, request: DecodeRequest, *, wants_prediction: Callable[[Decoded], bool] = always) -> None:
        """Begin one examination; `finished` gives it back under `key`.

        `wants_prediction` is asked in the thread that calls `finished`, once there is a film.
        """
        future = self._pool.submit(self._decode, request)
        self._decoding[future] = _Task(key=key, path=request.path, wants_prediction=wants_prediction)

    def finished(self, timeout: float) -> list[tuple[Key, Examination]]:
        """What has come to an end, waiting `timeout` seconds at most for a file to be read; one batch is predicted.

        Raises ModelError, and DecoderUnavailable where no child starts; call `abandon` then.
        """
        done, _ = wait(self._decoding, timeout=0 if self._read else timeout, return_when=FIRST_COMPLETED)
        ended = []
        for future in done:
            task = self._decoding.pop(future)
            decoded = future.result()
            if decoded.film is not None and task.wants_prediction(decoded):
                self._read.append((task, decoded))
            else:
                ended.append((task.key, unpredicted(task.path, decoded)))
        batch, self._read = self._read[: self._batch_size], self._read[self._batch_size :]
        return ended + self._predicted(batch)

    def abandon(self) -> None:
        """Forget all that is under way."""
        for future in self._decoding:
            future.cancel()
        self._decoding.clear()
        self._read.clear()

    def close(self) -> None:
        """End every child, whatever it is doing."""
        self.abandon()
        for decoder in self._all:
            decoder.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for decoder in self._all:
            decoder.close()

    def __enter__(self) -> "Examiner[Key]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decode(self, request: DecodeRequest) -> Decoded:
        decoder = self._idle.get()
        try:
            return decoder.decode(request)
        finally:
            self._idle.put(decoder)

    def _predicted(self, batch: list[tuple[_Task[Key], Decoded]]) -> list[tuple[Key, Examination]]:
        if not batch:
            return []
        if self.predictor is None:
            raise RuntimeError("there is a film, but no predictor: set Examiner.predictor first")
        films = [decoded.film for _, decoded in batch if decoded.film is not None]
        predictions = self.predictor.predict(films)
        manifest = self.predictor.manifest
        return [
            (task.key, judged(task.path, decoded, prediction, manifest))
            for (task, decoded), prediction in zip(batch, predictions, strict=True)
        ]


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
