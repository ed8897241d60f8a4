"""What the ledger answers with: frozen rows, one a noun."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Executable, RowMapping, Table
from sqlalchemy.dialects import postgresql, sqlite

from dicom_node.domain import EncodedResult, InstanceState, JobState, Kind, Profile, Reason, ResultState, StudyState


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """A study; the identifying values of the ledger stand here and nowhere else, and in no repr()."""

    study_id: int
    study_instance_uid: str
    state: StudyState
    #: that the next conclusion will have; of a concluded study: that it had
    revision: int
    #: highest of the instances that came since it was last opened
    priority: int
    accession_number: str = field(repr=False)
    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(repr=False)
    #: seconds since the epoch, UTC, like all times here
    first_arrival: float
    last_arrival: float
    completed_at: float | None
    concluded_at: float | None


@dataclass(frozen=True, kw_only=True)
class InstanceRow:
    """One version of a received SOP instance."""

    instance_id: int
    study_id: int
    study_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    #: SHA-256 of the data set as received, 64 hexadecimal digits
    digest: str
    #: bytes of the data set
    size: int
    calling_ae_title: str
    spool_key: str
    received_at: float
    state: InstanceState
    reason: Reason | None
    #: False: a version that was superseded, that a person must accept, or that analyse has not judged yet
    is_current: bool
    #: SHA-256 of decoded pixels and display attributes; None until decoded
    picture_digest: str | None
    #: says whether two versions of one study carry the same patient, issuer and accession number
    identity: str


@dataclass(frozen=True, kw_only=True)
class JobRow:
    """One Instance × one model × parameters."""

    job_id: int
    instance_id: int
    #: digest of the model's manifest
    model: str
    #: digest of the settings that the analysis depends on
    parameters: str
    #: more is sooner; 0: routine
    priority: int
    state: JobState
    attempts: int
    not_before: float
    last_error: str
    #: why it was not analysed
    reason: Reason | None
    detail: str
    #: image-level abnormality, 0..1, once DONE
    score: float | None
    created_at: float
    ended_at: float | None


@dataclass(frozen=True, kw_only=True)
class StoredResult:
    """One encoded object whose bytes are durable in the spool."""

    kind: Kind
    profile: Profile
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    encoder_version: str
    spool_key: str
    #: SHA-256 of the whole file, 64 hexadecimal digits
    digest: str
    #: SOP Instance UID of the result that this one supersedes
    predecessor: str | None = None


def stored_result(
    result: EncodedResult, *, spool_key: str, predecessor: str | None = None, digest: str = ""
) -> StoredResult:
    """An encoded object whose bytes are durable under `spool_key`; `digest` of them, where they are no longer here."""
    return StoredResult(
        kind=result.kind,
        profile=result.profile,
        sop_class_uid=result.sop_class_uid,
        sop_instance_uid=result.sop_instance_uid,
        series_instance_uid=result.series_instance_uid,
        transfer_syntax_uid=result.transfer_syntax_uid,
        encoder_version=result.encoder_version,
        spool_key=spool_key,
        digest=digest or sha256(result.data).hexdigest(),
        predecessor=predecessor,
    )


@dataclass(frozen=True, kw_only=True)
class ResultRow(StoredResult):
    """A result as the ledger knows it."""

    result_id: int
    study_id: int
    #: None: of a report
    job_id: int | None
    #: False once it was superseded
    is_current: bool
    #: PURGED: the bytes are gone, this row is their tombstone
    state: ResultState


def study_row(row: RowMapping) -> StudyRow:
    """From the columns of `study`."""
    return StudyRow(
        study_id=row["id"],
        state=StudyState(row["state"]),
        **{name: row[name] for name in _STUDY},
    )


def instance_row(row: RowMapping) -> InstanceRow:
    """From the columns of `instance` and `study_instance_uid` of its study."""
    return InstanceRow(
        instance_id=row["id"],
        state=InstanceState(row["state"]),
        reason=_reason(row["reason_code"]),
        **{name: row[name] for name in _INSTANCE},
    )


def job_row(row: RowMapping) -> JobRow:
    """From the columns of `job`."""
    return JobRow(
        job_id=row["id"],
        state=JobState(row["state"]),
        reason=_reason(row["reason_code"]),
        **{name: row[name] for name in _JOB},
    )


def result_row(row: RowMapping) -> ResultRow:
    """From the columns of `result`."""
    return ResultRow(
        result_id=row["id"],
        kind=Kind(row["kind"]),
        profile=Profile(row["profile"]),
        state=ResultState(row["state"]),
        **{name: row[name] for name in _RESULT},
    )


def _reason(text: str) -> Reason | None:
    return Reason(text) if text else None


def _plain(row: type[Any], *special: str) -> tuple[str, ...]:
    return tuple(name for name in row.__dataclass_fields__ if name not in special)


_STUDY = _plain(StudyRow, "study_id", "state")
_INSTANCE = _plain(InstanceRow, "instance_id", "state", "reason")
_JOB = _plain(JobRow, "job_id", "state", "reason")
_RESULT = _plain(ResultRow, "result_id", "kind", "profile", "state")


def insert_new(tx: Connection, table: Table, values: Mapping[str, object], *, unless: tuple[str, ...]) -> int | None:
    """Insert a row, `unless` one with the same values in these (unique) columns exists: then None.

    On PostgreSQL it waits for another transaction that is inserting the same, so that exactly one wins.
    """
    made: int | None = tx.execute(_insert_new(tx.dialect.name, table, unless), values).scalar()
    return made


@functools.cache
def _insert_new(dialect_name: str, table: Table, unless: tuple[str, ...]) -> Executable:
    """Made once: a statement costs more to build than to run."""
    dialect = sqlite if dialect_name == "sqlite" else postgresql
    made: Executable = dialect.insert(table).on_conflict_do_nothing(index_elements=list(unless)).returning(table.c.id)
    return made
