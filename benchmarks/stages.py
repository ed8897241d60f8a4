"""Where a film's time goes in the analyse role, and how near the role comes to its network alone.

`python -m benchmarks.stages`. A `chexnode analyse` process, as a site would run it, finds films of 2,500 × 3,000
queued and analyses them; its log says milliseconds a stage, and when each film was committed. The network alone, the
ratio's other half, is the same model with the same threads on inputs that are ready, and nothing else running. On a
machine with a GPU the same command measures that: it uses what `model.device = "auto"` finds.
"""

import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.alone import alone
from benchmarks.delivered import delivery_ms
from benchmarks.films import abnormal, clean
from benchmarks.measure import Tell, cpu_seconds, descendants, role_of
from benchmarks.network_alone import NetworkAlone, network_alone
from benchmarks.queued import Queued, queue_films
from benchmarks.record import Outcome, Row, Section, Table

MINUTES = 2
COMMAND = "python -m benchmarks.stages"
#: films that each run analyses, and how many of the first do not count: caches fill, batches form
FILMS, FIRST = 48, 8
#: films at the end whose CPU does not count: as many as the role holds, so that those in its hands are as many at both
#: ends of what counts
_LAST = 12
#: decoders that are tried
DECODERS = (1, 2)
#: seconds that a run may take
_PATIENCE = 120.0
#: stages of the log line, and how they are told
_STAGES = {
    "decode": "decode, and the film comes over from the child",
    "predict": "model, its share of a batch: preprocess, transfer, network, postprocess",
    "encode": "SEG, SC made",
    "keep": "the last of them flushed",
    "hand": "film over to the encoder, and waiting for one",
    "commit": "commit",
}


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What one run of the role showed."""

    decoders: int
    images_a_second: float
    #: stage -> median milliseconds
    stages: dict[str, float]
    #: process -> CPU milliseconds an image
    cpu: dict[str, float]


def analyse(queued: Queued, decoders: int) -> Ran:
    """Run the role until every film of `queued` is analysed."""
    settings = queued.configure(decoders=decoders)
    with queued.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "dicom_node", "analyse", "--config", str(settings)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        before: dict[int, float] = {}
        spent: dict[int, float] = {}
        deadline = time.monotonic() + _PATIENCE
        while (done := queued.analysed()) is not None and len(done) < queued.films:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the role did not analyse every film: {queued.log.read_text()[-2000:]}")
            if len(done) >= FIRST and not before:
                before = {pid: cpu_seconds(pid) for pid in descendants(process.pid)}
                begun = len(done)
            if len(done) >= queued.films - _LAST and before and not spent:
                spent = {pid: cpu_seconds(pid) - seconds for pid, seconds in before.items()}
                counted = len(done) - begun
            time.sleep(0.02)
        names = {pid: _name(pid) for pid in before}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)
    times = [datetime.fromisoformat(line["timestamp"]).timestamp() for line in done]
    cpu: dict[str, float] = {}
    for pid, seconds in spent.items():
        cpu[names[pid]] = cpu.get(names[pid], 0.0) + 1000 * seconds / counted
    return Ran(
        decoders=decoders,
        images_a_second=(len(times) - FIRST) / (times[-1] - times[FIRST - 1]),
        stages={
            stage: statistics.median(line["ms"].get(stage, 0) for line in done[FIRST:])
            for stage in ("line", "turn", *_STAGES)
        },
        cpu=cpu,
    )


def _name(pid: int) -> str:
    command = role_of(pid)
    for said, name in (("analyse.child", "decoders"), ("analyse.encoder", "encoders")):
        if said in command:
            return name
    return "the role: claims, model, commits"


def run(tell: Tell, scratch: Path) -> Outcome:
    """See the module."""
    tell("drawing films")
    films = (abnormal(), clean())
    alone_first = network_alone(tell, films)
    ran = []
    for decoders in DECODERS:
        tell(f"{FILMS} films are queued")
        queued = queue_films(scratch / f"decoders-{decoders}", films, FILMS)
        tell(f"analysed with {decoders} decoder{'s' if decoders > 1 else ''}")
        ran.append(analyse(queued, decoders))
    tell("delivering to dcmtk's storescp")
    delivered = delivery_ms(queued, scratch / "storescp")
    # once before and once after: the machine may have changed its pace
    network = network_alone(tell, films).faster(alone_first)
    return Outcome(
        rows=_rows(ran, network),
        tables=[_stages(ran, network, delivered), _cpu(ran, network)],
        missing=[] if delivered is not None else ["deliver, ms an image: storescp (dcmtk) is not installed"],
    )


def _rows(ran: Sequence[Ran], network: NetworkAlone) -> list[Row]:
    best = max(ran, key=lambda one: one.images_a_second)
    spent = sum(best.cpu.values())
    note = f"{network.device}"
    if not network.on_gpu:
        bound = network.cpu_ms / spent
        note += (
            f"; all stages share these cores: a film costs {spent:.0f} ms of CPU, {network.cpu_ms:.0f} of them its "
            f"network, so no more than {bound:.0%} of the network alone can be had here (see the table of CPU)"
        )
    rates = {f"{one.decoders} decoder{'s' * (one.decoders > 1)}": f"{one.images_a_second:.1f} images/s" for one in ran}
    return [
        Row(
            section=Section.ANALYSE,
            name="queued films to committed results, against the network alone",
            reached=best.images_a_second / network.images_a_second,
            unit="×",
            target=0.8,
            command=COMMAND,
            figures={**rates, "network alone": f"{network.images_a_second:.1f} images/s"},
            note=note,
        ),
        Row(
            section=Section.ANALYSE,
            name="films of 2,500 × 3,000, queued to committed",
            reached=best.images_a_second,
            unit="images/s",
            command=COMMAND,
            figures={"CPU a film": f"{spent:.0f} ms"},
        ),
    ]


def _stages(ran: Sequence[Ran], network: NetworkAlone, delivered: float | None) -> Table:
    rows = [
        [said, *(f"{one.stages[stage]:.0f}" for one in ran), "" if stage != "predict" else f"{network.whole_ms:.0f}"]
        for stage, said in _STAGES.items()
    ]
    at = [row[0] for row in rows].index(_STAGES["predict"]) + 1
    rows[at:at] = [[f"  {stage}", *("" for _ in ran), f"{ms:.1f}"] for stage, ms in network.stages.items()]
    deliver = "" if delivered is None else f"{delivered:.0f}"
    rows.append(["deliver: association, SC compressed to JPEG-LS, C-STORE of both", *("" for _ in ran), deliver])
    return Table(
        section=Section.ANALYSE,
        title="Milliseconds a film and stage",
        head=("stage", *(f"{one.decoders} decoder{'s' * (one.decoders > 1)}, all at once" for one in ran), "alone"),
        rows=rows,
        note=f"medians of {FILMS - FIRST} films that were all queued; 'alone': nothing else runs. Waiting for a "
        "decoder or for the model's turn is not counted. Device: " + network.device,
    )


def _cpu(ran: Sequence[Ran], network: NetworkAlone) -> Table:
    names = list(dict.fromkeys(name for one in ran for name in one.cpu))
    rows = [[name, *(f"{one.cpu.get(name, 0):.0f}" for one in ran)] for name in names]
    rows.append(["together", *(f"{sum(one.cpu.values()):.0f}" for one in ran)])
    rows.append(["of which the network alone", *(f"{network.cpu_ms:.0f}" for _ in ran)])
    return Table(
        section=Section.ANALYSE,
        title="Milliseconds of CPU a film, by process",
        head=("process", *(f"{one.decoders} decoder{'s' * (one.decoders > 1)}" for one in ran)),
        rows=rows,
        note="where stages share the cores this, not the clock, says what bounds images a second",
    )


if __name__ == "__main__":
    sys.exit(alone(run))
