"""The analyse role: registers the model, then examines what the ledger has queued, until told to stop."""

import os
import threading
import time
from functools import partial

import numpy as np
import structlog

from dicom_node.alive import HEARTBEAT, say_alive, wake_at
from dicom_node.analyse.again import digest_of_all
from dicom_node.analyse.encoders import Encoders
from dicom_node.analyse.examine import BATCH_ON_GPU, Examiner
from dicom_node.analyse.finish import Finisher
from dicom_node.analyse.results import encoding_for, require_thresholds
from dicom_node.analyse.worker import Worker
from dicom_node.config import Role, Settings
from dicom_node.errors import ConfigurationError
from dicom_node.ledger import Channel, Ledger, encodings, jobs, leases, models
from dicom_node.parameters import parameters_by_source, parameters_digest
from dicom_node.sections import ModelSection
from dicom_node.spool import Spool
from model.contract import Film, Manifest, ModelError, Predictor
from model.weights import read_manifest

log = structlog.get_logger()

#: seconds that it goes on with what it holds once told to stop; less than app.DRAIN_DEADLINE
_DRAIN = 12.0
#: seconds that it sleeps at most, the bell unheard
_LONGEST_SLEEP = HEARTBEAT
#: seconds after which it looks again at what it could not claim, and at the leases of what it holds
_BREATH = 1.0


def run(settings: Settings, stop: threading.Event, *, predictor: Predictor | None = None) -> None:
    """Analyse until `stop` is set. A `predictor` that is handed in is used in place of the configured model.

    Raises ConfigurationError for a model that cannot be used, SchemaMismatch for another version's ledger; ModelError
    and the Retryable errors of Ledger while it runs: the supervisor starts the role again, and nothing is lost, since
    what it holds goes to another once its lease has ended.
    """
    manifest = predictor.manifest if predictor is not None else _manifest(settings.model)
    require_thresholds(settings, manifest)
    ledger = Ledger.for_settings(settings.node)
    # the children first: they load while the model does
    examiner = Examiner[int](settings.analyse, settings.select)
    encoders = Encoders(settings.node.folder / "spool", settings.analyse.encoders_used)
    try:
        _take_back(ledger, settings.analyse.attempts)
        register(ledger, manifest, settings, now=time.time())
        examiner.predictor = predictor if predictor is not None else _load(settings.model)
        examiner.lanes = getattr(examiner.predictor, "lanes", 1)
        if examiner.lanes > 1:
            examiner.batch_size = settings.analyse.batch_size or BATCH_ON_GPU
        log.info("model ready", model=manifest.name, version=manifest.version, digest=manifest.digest[:8])
        _work(ledger, examiner, encoders, settings, manifest, stop)
    finally:
        examiner.close()
        encoders.close()
        ledger.close()


def _work(
    ledger: Ledger,
    examiner: Examiner[int],
    encoders: Encoders,
    settings: Settings,
    manifest: Manifest,
    stop: threading.Event,
) -> None:
    spool = Spool(settings.node.folder / "spool")
    worker = Worker(
        ledger,
        spool,
        examiner,
        Finisher(
            ledger,
            spool,
            encoders,
            partial(encoding_for, settings, manifest),
            settings.profiles,
            digest_of_all=partial(digest_of_all, spool, settings),
            clock=time.time,
        ),
        settings.analyse,
        owner=leases.owner(),
        model_digest=manifest.digest,
        parameters_for=partial(parameters_digest, settings),
        # one more than encode, so that none waits for a commit
        finishers=encoders.count + 1,
    )
    look_again = min(_BREATH, settings.analyse.lease / 6)
    # opened before the first look, or what is committed in between would be missed
    with ledger.bell.listen(Channel.JOBS) as listener:
        wake_at(stop, listener)
        # it sleeps until there is something to claim or something has moved on, and misses neither
        examiner.on_progress = listener.wake
        alive_at = -HEARTBEAT
        while not stop.is_set():
            if time.monotonic() - alive_at >= HEARTBEAT:
                say_alive(ledger, Role.ANALYSE)
                alive_at = time.monotonic()
            worker.step(0)
            listener.wait(look_again if worker.busy else _until_due(ledger))
        examiner.on_progress = _nothing
        worker.drain(_DRAIN)
        worker.close()
    spool.close()


def _nothing() -> None:
    """Nobody sleeps any more."""


def _take_back(ledger: Ledger, attempts_allowed: int) -> None:
    """Go on with what a predecessor that was killed still holds."""
    with ledger.transaction() as tx:
        taken, _ = leases.reclaim_vanished(tx, now=time.time(), attempts_allowed=attempts_allowed)
    if taken:
        log.warning("took back what a killed process held", jobs=taken)


def register(ledger: Ledger, manifest: Manifest, settings: Settings, *, now: float) -> None:
    """Make this model the one that new images are read by, and queue what came before any model was there."""
    common, by_source = parameters_digest(settings), parameters_by_source(settings)
    with ledger.transaction() as tx:
        models.register(
            tx,
            digest=manifest.digest,
            name=manifest.name,
            version=manifest.version,
            family=manifest.family,
            now=now,
        )
        models.activate(tx, manifest.digest, parameters=common, by_source=by_source)
        for title in ("", *by_source):
            encoding = encoding_for(settings, manifest, title)
            encodings.remember(
                tx,
                model_digest=manifest.digest,
                digest=encoding.parameters,
                threshold=encoding.threshold,
                most_findings=encoding.model.most_findings,
            )
        missing = models.insert_missing(
            tx,
            model=manifest.digest,
            parameters=common,
            by_source=by_source,
            now=now,
            level=settings.priority.level,
        )
    if missing:
        log.info("queued what arrived before the model", jobs=missing)


def _manifest(section: ModelSection) -> Manifest:
    try:
        return read_manifest(section.folder)
    except ModelError as error:
        raise ConfigurationError(f"model.folder: {error}") from error


def _load(section: ModelSection) -> Predictor:
    """torch is loaded here, and in no other place of the node. Raises ModelError where the device fails."""
    from model.predictor import load_predictor

    try:
        predictor = load_predictor(section.folder, section.device, threads())
    except ModelError as error:
        raise ConfigurationError(f"model: {error}") from error
    # the first film takes longer, and it is nobody's
    predictor.predict([Film(pixels=np.zeros((64, 64), np.uint16))])
    return predictor


def threads() -> int:
    """All cores but one on a larger host: the receiver and the children want to run too."""
    cores = len(os.sched_getaffinity(0))
    return cores if cores <= 2 else cores - 1


def _until_due(ledger: Ledger) -> float:
    """Seconds until a job that waits for its next attempt is due; seconds to wait for the bell where none is."""
    with ledger.reading() as tx:
        due = jobs.next_due(tx)
    if due is None:
        return _LONGEST_SLEEP
    left = due - time.time()
    # due, and not claimed just now: another worker's, or another model's
    return min(_LONGEST_SLEEP, left) if left > 0 else _BREATH
