"""What looks on while a training runs: a bar, TensorBoard, and the one that says when it is enough."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from training.loop import Epoch
from training.validation import MEASURE


@dataclass(frozen=True, kw_only=True)
class Report:
    """One epoch that has ended."""

    #: ordinal of the stage
    stage: int
    #: epochs done in the stage
    epoch: int
    #: epochs done in all stages
    overall: int
    #: mean of each weighted term of the loss
    terms: Mapping[str, float]
    learning_rate: float
    #: films a second
    rate: float
    #: of the averaged weights on the films held out; empty where none were measured
    measures: Mapping[str, float]


class History:
    """All epochs of a run, one JSON object a line; an epoch that is done again after a stop replaces what was said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.reports = [Report(**json.loads(line)) for line in lines]

    def add(self, report: Report) -> None:
        """Keep one more epoch, in one step: a kill leaves the old file or the new one."""
        place = (report.stage, report.epoch)
        self.reports = [one for one in self.reports if (one.stage, one.epoch) < place] + [report]
        partial = self.path.with_suffix(".part")
        partial.write_text("".join(json.dumps(asdict(one)) + "\n" for one in self.reports))
        partial.replace(self.path)

    @property
    def latest(self) -> Report:
        """The epoch that has just ended."""
        return self.reports[-1]

    def of_stage(self, stage: int) -> list[Report]:
        """In order."""
        return [one for one in self.reports if one.stage == stage]


class Handler:
    """Called at the end of each epoch."""

    def start(self, epochs: int) -> None:
        """Before the first step; `epochs` of all stages."""

    def __call__(self, history: History) -> bool:
        """What to do with `history.latest`; True ends the stage."""
        raise NotImplementedError

    def close(self) -> None:
        """After the last step, also after a failure."""


class Watch:
    """The handlers of one run, and its history."""

    def __init__(self, handlers: Sequence[Handler], history: History, epochs: int) -> None:
        self._handlers, self._history, self._epochs = handlers, history, epochs

    def __enter__(self) -> Self:
        for handler in self._handlers:
            handler.start(self._epochs)
        return self

    def __exit__(self, *_: object) -> None:
        for handler in self._handlers:
            handler.close()

    def __call__(self, epoch: Epoch, *, stage: int, before: int, measures: Mapping[str, float]) -> bool:
        """Keep and tell an epoch of a stage with `before` epochs before it; True when a handler ends the stage."""
        report = Report(
            stage=stage,
            epoch=epoch.epoch,
            overall=before + epoch.epoch,
            terms=epoch.terms,
            learning_rate=epoch.learning_rate,
            rate=epoch.rate,
            measures=measures,
        )
        self._history.add(report)
        answers = [handler(self._history) for handler in self._handlers]
        return any(answers)


class ProgressBar(Handler):
    """A bar over all epochs with the loss, the speed and what was measured last."""

    def __init__(self) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns)
        self._task = self._bar.add_task("training", total=None)

    def start(self, epochs: int) -> None:
        """Show it."""
        self._bar.update(self._task, total=epochs)
        self._bar.start()

    def __call__(self, history: History) -> bool:
        report = history.latest
        said = [f"loss {sum(report.terms.values()):.3f}", f"{report.rate:.0f} films/s"]
        said += [f"{name} {value:.3f}" for name, value in report.measures.items() if name == MEASURE]
        self._bar.update(self._task, completed=report.overall, description=", ".join(said))
        return False

    def close(self) -> None:
        """Leave it as it is."""
        self._bar.stop()


class TensorBoard(Handler):
    """Scalars for `tensorboard --logdir`: terms of the loss, learning rate, films a second, what was measured.

    A resumed run writes beside what it wrote before.
    """

    def __init__(self, log_dir: str | Path) -> None:
        self._log_dir = Path(log_dir)
        self._writer: SummaryWriter | None = None

    def __call__(self, history: History) -> bool:
        report = history.latest
        if self._writer is None:
            self._writer = SummaryWriter(str(self._log_dir))
        scalars = {f"loss/{name}": value for name, value in report.terms.items()}
        scalars |= {f"validation/{name}": value for name, value in report.measures.items()}
        scalars |= {"learning_rate": report.learning_rate, "films_per_second": report.rate}
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, report.overall)
        self._writer.flush()
        return False

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


class EarlyStopping(Handler):
    """Ends a stage once its measure has not risen for `patience` measurements; None: never.

    All it knows is in the history, so that a resumed run decides as an uninterrupted one.
    """

    def __init__(self, patience: int | None, measure: str = MEASURE) -> None:
        self.patience, self.measure = patience, measure

    def __call__(self, history: History) -> bool:
        reports = history.of_stage(history.latest.stage)
        values = [one.measures[self.measure] for one in reports if one.measures]
        if self.patience is None or not values:
            return False
        return len(values) - 1 - values.index(max(values)) >= self.patience
