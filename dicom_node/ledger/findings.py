"""What a job found; immutable."""

import zlib
from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, insert, literal, select

from dicom_node.domain import Finding
from dicom_node.ledger.schema import finding

_COPIED = [column for column in finding.c if column.name not in ("id", "job_id")]


def of_job(tx: Connection, job_id: int) -> list[Finding]:
    """The findings of a job, in the order in which they were stored."""
    rows = tx.execute(select(finding).where(finding.c.job_id == job_id).order_by(finding.c.ordinal)).mappings()
    return [
        Finding(
            box=(row["x0"], row["y0"], row["x1"], row["y1"]),
            confidence=row["confidence"],
            mask_origin=(row["mask_row"], row["mask_column"]),
            mask=_unpack(row["mask"], row["mask_rows"], row["mask_columns"]),
            area_mm2=row["area_mm2"],
        )
        for row in rows
    ]


def store(tx: Connection, job_id: int, findings: Sequence[Finding]) -> None:
    """Insert the findings of a job that is being finished."""
    if findings:
        tx.execute(insert(finding), [_row(job_id, ordinal, found) for ordinal, found in enumerate(findings)])


def _row(job_id: int, ordinal: int, found: Finding) -> dict[str, object]:
    x0, y0, x1, y1 = (float(edge) for edge in found.box)
    rows, columns = found.mask.shape
    return {
        "job_id": job_id,
        "ordinal": ordinal,
        "x0": x0,
        "y0": y0,
        "x1": x1,
        "y1": y1,
        "confidence": float(found.confidence),
        "area_mm2": None if found.area_mm2 is None else float(found.area_mm2),
        "mask_row": int(found.mask_origin[0]),
        "mask_column": int(found.mask_origin[1]),
        "mask_rows": rows,
        "mask_columns": columns,
        "mask": zlib.compress(np.packbits(found.mask.astype(bool)).tobytes()),
    }


def copy(tx: Connection, *, from_job: int, to_job: int) -> None:
    """Give a job the findings of another one, whose picture is the same."""
    copied = select(literal(to_job), *_COPIED).where(finding.c.job_id == from_job)
    tx.execute(insert(finding).from_select(["job_id", *(column.name for column in _COPIED)], copied))


def _unpack(packed: bytes, rows: int, columns: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    bits = np.frombuffer(zlib.decompress(packed), dtype=np.uint8)
    return np.unpackbits(bits, count=rows * columns).reshape(rows, columns).astype(np.bool_)
