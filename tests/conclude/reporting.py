"""A node whose images are really read, and whose studies are concluded with their reports; time is a number."""

from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import select

from dicom_node.analyse.examine import Examiner
from dicom_node.conclude.complete import complete_quiet, conclude_ready
from dicom_node.conclude.report import Reporter
from dicom_node.config import Settings
from dicom_node.domain import Kind
from dicom_node.ledger import Ledger, overview, results, url_for
from dicom_node.ledger.overview import DeliveryView, StudyView
from dicom_node.ledger.reports import current
from dicom_node.ledger.rows import ResultRow, result_row
from dicom_node.ledger.schema import result
from dicom_node.peer import PeerSection
from dicom_node.spool import Spool
from tests import datasets
from tests.analyse.bench import NOW, Bench
from tests.analyse.conftest import Node, settings_in, with_lesion

#: seconds: the node's defaults for a study to be quiet, and to be concluded without what is missing
QUIET, PATIENCE = 10.0, 600.0


def settings_for(folder: Path, **profiles: str) -> Settings:
    """A node that sends what PACS sent to a destination of each of `profiles`, by the destination's name."""
    settings = settings_in(folder)
    destinations = tuple(
        PeerSection(name=name, ae_title=name.upper(), host="127.0.0.1", mode="send", profile=profile)
        for name, profile in profiles.items()
    )
    source = PeerSection(
        name="pacs", ae_title="PACS", sends=True, allow_from=("127.0.0.1",), results_to=tuple(profiles)
    )
    return settings.model_copy(update={"peers": (source, *destinations)})


class Desk:
    """A worker at its bench, and the conclude role after it."""

    def __init__(self, settings: Settings, examiner: Examiner[int]) -> None:
        Ledger.migrate(url_for(settings.node))
        self.settings = settings
        self.ledger = Ledger.for_settings(settings.node)
        self.spool = Spool(settings.node.folder / "spool")
        self.node = Node(settings=settings, ledger=self.ledger, spool=self.spool)
        self.bench = Bench(self.node, examiner)
        self.reporter = Reporter(self.ledger, self.spool, settings.results)
        self.now = NOW

    def close(self) -> None:
        self.bench.examiner.abandon()
        self.ledger.close()

    def arrive(self, *datasets: Dataset) -> int:
        """Images arrive; the id of the last one's study."""
        for dataset in datasets:
            recorded = self.node.arrive(dataset, now=self.now)
        return recorded.study_id

    def read(self, *datasets: Dataset) -> int:
        """Images arrive and are analysed; the id of the last one's study."""
        study_id = self.arrive(*datasets)
        self.bench.now = self.now
        self.bench.work()
        return study_id

    def conclude(self, *, wait: float = QUIET) -> int:
        """Time passes until the studies are quiet, and `wait` seconds more; how many were concluded."""
        self.now += QUIET
        complete_quiet(self.ledger, self.settings.conclude, now=self.now)
        self.now += wait
        return conclude_ready(self.ledger, self.settings.conclude, self.reporter, self.settings.route, now=self.now)

    def report(self, *datasets: Dataset) -> Dataset:
        """Images arrive, are analysed and concluded; the one SR that stands then."""
        study_id = self.read(*datasets)
        assert self.conclude() == 1
        (standing,) = self.standing(study_id)
        return self.object(standing)

    def standing(self, study_id: int) -> list[ResultRow]:
        with self.ledger.reading() as tx:
            return current(tx, study_id)

    def results(self, study_id: int, kind: Kind) -> list[ResultRow]:
        """The study's current results of a kind."""
        with self.ledger.reading() as tx:
            return [row for row in results.of_study(tx, study_id) if row.kind is kind]

    def all_reports(self) -> list[ResultRow]:
        """Every SR that was ever committed."""
        with self.ledger.reading() as tx:
            rows = tx.execute(select(result).where(result.c.kind == Kind.SR.value).order_by(result.c.id))
            return [result_row(row) for row in rows.mappings()]

    def object(self, row: ResultRow) -> Dataset:
        """A result as another program reads it."""
        return dcmread(BytesIO(self.spool.read(row.spool_key)))

    def study(self, study_id: int) -> StudyView:
        with self.ledger.reading() as tx:
            (view,) = [view for view in overview.studies(tx) if view.study.study_id == study_id]
        return view

    def deliveries(self, study_id: int, row: ResultRow) -> list[DeliveryView]:
        """Those of one result."""
        return [one for one in self.study(study_id).deliveries if one.sop_instance_uid == row.sop_instance_uid]


#: of the images that lesion() and clean() make: one study
STUDY = {"StudyInstanceUID": "1.2.826.0.1.3680043.10.7.1", "SeriesInstanceUID": "1.2.826.0.1.3680043.10.7.2"}


def lesion(**attributes: object) -> Dataset:
    """A chest with one finding."""
    return with_lesion(**{**STUDY, **attributes})


def clean(**attributes: object) -> Dataset:
    """A chest without one."""
    return datasets.chest(100, 90, **{**STUDY, **attributes})


def lateral(**attributes: object) -> Dataset:
    """A chest that is declined."""
    return clean(ViewPosition="LL", **attributes)
