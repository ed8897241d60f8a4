"""How long a film takes from the modality into the archive as marks: the whole node, Orthanc behind it.

`python -m benchmarks.latency`. A `chexnode serve` with default settings gets synthetic chests of 2,500 × 3,000, 15 MB
uncompressed, two of three with findings, each a study of its own. Its archive is Orthanc, which parses, indexes and
stores what it gets before it answers; a relay between the two notes when it answered each object, so that nothing of
either is changed or trusted for it. The clock starts when the modality has the response to its C-STORE.

A study is concluded once nothing came for `conclude.quiet_period`, and the image is analysed meanwhile. So the quiet
period is taken out in two ways: subtracted, at 1 s; and set to 0, where nothing of the work hides behind it.
"""

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from pydicom.dataset import Dataset

from benchmarks.alone import alone
from benchmarks.archive import Archive
from benchmarks.films import studies
from benchmarks.journey import STAGES, Journey, journeys
from benchmarks.measure import Tell, percentile
from benchmarks.record import Outcome, Plot, Row, Section, Table
from benchmarks.relay import Relay
from benchmarks.serving import CALLED, CALLING, Serving
from dicom_node.dimse.association import open_association
from dicom_node.dimse.contexts import proposed_contexts

MINUTES = 3
COMMAND = "python -m benchmarks.latency"
#: studies one at a time, with each quiet period; studies at once
ONE_BY_ONE, DEFAULT_ONES, AT_ONCE, SENDERS = 25, 1, 16, 4
_SHORT, _DEFAULT = 1.0, 10.0
#: seconds between the end of one study and the next one
_GAP = 0.2
#: seconds that one study may take at most
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One study that was sent."""

    study_instance_uid: str
    #: seconds since the epoch: before its first byte went, and when its response came
    began: float
    answered: float


def send(port: int, dataset: Dataset) -> Sent:
    """One study, on an association of its own. Raises NodeError, RuntimeError where it was not taken."""
    wanted = [(str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID))]
    began = time.time()
    with open_association(
        "127.0.0.1", port, called=CALLED, calling=CALLING, contexts=proposed_contexts(wanted)
    ) as opened:
        answer = opened.store(dataset)
        answered = time.time()
    if answer.status:
        raise RuntimeError(f"the node answered C-STORE with {answer.status:04X}")
    return Sent(study_instance_uid=str(dataset.StudyInstanceUID), began=began, answered=answered)


class Measuring:
    """A node with `quiet_period` before the archive; a context manager."""

    def __init__(self, folder: Path, archive_port: int, quiet_period: float) -> None:
        self.quiet_period = quiet_period
        self._relay = Relay(archive_port)
        self._serving = Serving(folder, archive_port=self._relay.port, quiet_period=quiet_period)
        self._stack = ExitStack()

    def __enter__(self) -> "Measuring":
        self._stack.enter_context(self._relay)
        self._stack.enter_context(self._serving)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def one_by_one(self, wanted: Iterator[tuple[bool, Dataset]], count: int, tell: Callable[[int], None]) -> list[Sent]:
        """Each study is in the archive before the next one is sent. One before them does not count: it warms up."""
        sent = []
        for number, (marked, dataset) in enumerate(islice(wanted, count + 1)):
            tell(number)
            before = len(self._relay.answered)
            sent.append(send(self._serving.port, dataset))
            # SEG, SC and SR, or SC and SR
            self._await(before + (3 if marked else 2))
            time.sleep(_GAP)
        return sent[1:]

    def at_once(self, wanted: Iterator[tuple[bool, Dataset]], count: int, senders: int) -> list[Sent]:
        """As fast as `senders` modalities send them."""
        waiting = list(islice(wanted, count))
        expected = len(self._relay.answered) + sum(3 if marked else 2 for marked, _ in waiting)
        sent: list[Sent] = []
        lock = threading.Lock()

        def go() -> None:
            while True:
                with lock:
                    if not waiting:
                        return
                    _, dataset = waiting.pop()
                one = send(self._serving.port, dataset)
                with lock:
                    sent.append(one)

        threads = [threading.Thread(target=go) for _ in range(senders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._await(expected)
        return sent

    def journeys(self, sent: Sequence[Sent]) -> list[Journey]:
        """What became of each, by the ledger and the log of the node and by the relay."""
        answered = {one.study_instance_uid: one.answered for one in sent}
        return journeys(self._serving, answered, self._relay.answered, quiet_period=self.quiet_period)

    def _await(self, count: int) -> None:
        if not self._relay.wait_for(count, _PATIENCE):
            raise RuntimeError(f"results did not come: {self._serving.log.read_text(errors='replace')[-3000:]}")


def run(tell: Tell, scratch: Path) -> Outcome:
    """See the module."""
    try:
        with Archive(scratch / "orthanc") as archive:
            return _run(tell, scratch, archive.port)
    except FileNotFoundError as error:
        return Outcome(missing=[f"latency and images a second of the whole node: {error}"])


def _run(tell: Tell, scratch: Path, archive_port: int) -> Outcome:
    tell("drawing films")
    wanted = studies()
    next(wanted)
    plain: dict[float, list[Journey]] = {}
    for quiet_period, count in ((0.0, ONE_BY_ONE), (_SHORT, ONE_BY_ONE), (_DEFAULT, DEFAULT_ONES)):
        tell(f"a node with a quiet period of {quiet_period:g} s starts")
        with Measuring(scratch / f"quiet-{quiet_period:g}", archive_port, quiet_period) as measuring:
            said = f"quiet period {quiet_period:g} s, of {count} studies number"
            sent = measuring.one_by_one(wanted, count, partial(_tell_number, tell, said))
            plain[quiet_period] = measuring.journeys(sent)
            if quiet_period == _SHORT:
                tell(f"{AT_ONCE} studies at once")
                burst = measuring.at_once(wanted, AT_ONCE, SENDERS)
                loaded = measuring.journeys(burst)
                images_a_second = len(burst) / (
                    max(journey.last_image_object for journey in loaded) - min(one.began for one in burst)
                )
    return Outcome(
        rows=[*_rows(plain), *_load_rows(loaded, images_a_second)],
        tables=[_way(plain[0.0])],
        plots=[_plot(plain, loaded)],
    )


def _tell_number(tell: Tell, said: str, number: int) -> None:
    tell(f"{said} {number}")


def _rows(plain: dict[float, list[Journey]]) -> list[Row]:
    nothing, short, default = (
        [journey.seconds for journey in plain[quiet_period]] for quiet_period in (0.0, _SHORT, _DEFAULT)
    )
    out = [value - _SHORT for value in short]
    return [
        _row(
            "SEG and SC in the archive after the last C-STORE response, p95, quiet period subtracted", out, target=1.0
        ),
        _row("the same with a quiet period of 0: nothing hides behind it", nothing, target=1.0),
        _row(f"the same with a quiet period of {_SHORT:g} s left in", short),
        _row(f"the same with the default of {_DEFAULT:g} s left in", default),
    ]


def _row(name: str, values: Sequence[float], *, target: float | None = None) -> Row:
    p95 = percentile(list(values), 0.95)
    return Row(
        section=Section.ANALYSE,
        name=name,
        reached=p95,
        unit="s",
        target=target,
        more_is_better=False,
        command=COMMAND,
        figures={
            "p50": f"{statistics.median(values):.2f} s",
            "longest": f"{max(values):.2f} s",
            "studies": str(len(values)),
        },
        note="2,500 × 3,000 uncompressed, one study at a time; Orthanc's own time to store is in it",
    )


def _load_rows(loaded: Sequence[Journey], images_a_second: float) -> list[Row]:
    waits = [journey.seconds for journey in loaded]
    return [
        Row(
            section=Section.ANALYSE,
            name=f"{AT_ONCE} studies from {SENDERS} modalities at once, received, analysed and in the archive",
            reached=images_a_second,
            unit="images/s",
            command=COMMAND,
            figures={
                "p50": f"{statistics.median(waits):.1f} s",
                "p95": f"{percentile(waits, 0.95):.1f} s",
            },
            note="from the first byte sent to the last SC's response; modalities and archive share the cores",
        )
    ]


def _way(measured: Sequence[Journey]) -> Table:
    rows = []
    for stage, said in STAGES.items():
        values = [1000 * journey.stages[stage] for journey in measured if stage in journey.stages]
        if values:
            rows.append([said, f"{statistics.median(values):.0f}", f"{percentile(values, 0.95):.0f}"])
    return Table(
        section=Section.ANALYSE,
        title="Where the time of one film goes, quiet period 0, ms",
        head=("stage", "p50", "p95"),
        rows=rows,
        note="by the event times of the ledger, the `ms` of the node's log line 'analysed', and the relay; indented "
        "lines are parts of the line above them",
    )


def _plot(plain: dict[float, list[Journey]], loaded: Sequence[Journey]) -> Plot:
    lines = {
        "quiet period 0": [journey.seconds for journey in plain[0.0]],
        f"quiet period {_SHORT:g} s, subtracted": [journey.seconds - _SHORT for journey in plain[_SHORT]],
        f"{AT_ONCE} at once, quiet period subtracted": [journey.seconds - _SHORT for journey in loaded],
    }
    return Plot(
        section=Section.ANALYSE,
        name="latency",
        title="From the last C-STORE response to SEG and SC in the archive",
        x="seconds",
        y="share of studies",
        lines={
            name: [(value, (rank + 1) / len(values)) for rank, value in enumerate(sorted(values))]
            for name, values in lines.items()
        },
    )


if __name__ == "__main__":
    sys.exit(alone(run))
