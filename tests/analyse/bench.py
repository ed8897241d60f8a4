"""A worker on a real node, with a clock of its own; the model alone is a fake."""

from functools import partial
from typing import TYPE_CHECKING

from dicom_node.analyse.again import digest_of_all
from dicom_node.analyse.examine import Examiner
from dicom_node.analyse.finish import Finisher
from dicom_node.analyse.results import encoding_for
from dicom_node.analyse.role import register
from dicom_node.analyse.worker import Worker
from dicom_node.config import Settings
from dicom_node.ledger import instances
from dicom_node.ledger.rows import InstanceRow, JobRow, job_row
from dicom_node.ledger.schema import job
from dicom_node.parameters import parameters_digest
from dicom_node.spool import Spool
from model.contract import Manifest
from tests.analyse.fakes import MANIFEST, EncodesHere, ThresholdPredictor

if TYPE_CHECKING:
    from tests.analyse.conftest import Node

NOW = 1_741_082_400.0


class Bench:
    """A worker on a node, with a clock of its own."""

    def __init__(self, node: "Node", examiner: Examiner[int], *, spool: Spool | None = None) -> None:
        self.node = node
        self.now = NOW
        self.predictor = ThresholdPredictor()
        self.examiner = examiner
        self._spool = spool or node.spool
        examiner.predictor = self.predictor
        self.start(node.settings, MANIFEST)

    def start(self, settings: Settings, manifest: Manifest) -> None:
        """The role starts anew with these settings and a model of this manifest."""
        self.predictor.manifest = manifest
        register(self.node.ledger, manifest, settings, now=self.now)
        encoding = partial(encoding_for, settings, manifest)
        self.worker = Worker(
            self.node.ledger,
            self._spool,
            self.examiner,
            Finisher(
                self.node.ledger,
                self._spool,
                EncodesHere(self._spool),
                encoding,
                settings.profiles,
                digest_of_all=partial(digest_of_all, self._spool, settings),
                clock=lambda: self.now,
            ),
            settings.analyse,
            owner="bench",
            model_digest=manifest.digest,
            parameters_for=partial(parameters_digest, settings),
            clock=lambda: self.now,
        )

    def work(self) -> None:
        """Until there is nothing due."""
        self.worker.step(0)
        while self.worker.busy:
            self.worker.step(1)

    def job(self, instance_id: int) -> JobRow:
        with self.node.ledger.reading() as tx:
            row = tx.execute(job.select().where(job.c.instance_id == instance_id)).mappings().one()
            return job_row(row)

    def instance(self, instance_id: int) -> InstanceRow:
        with self.node.ledger.reading() as tx:
            return instances.get(tx, instance_id)
