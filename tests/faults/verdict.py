"""What is not as it must be after a fault: what was lost, what is not whole, what is there twice."""

import hashlib
from collections import Counter
from collections.abc import Mapping

from dicom_node.dimse.part10 import LONGEST_META, read_file_meta
from dicom_node.errors import NodeError
from dicom_node.spool import Spool
from tests import datasets
from tests.faults.hospital import EXPECTED, Hospital

_JOBS_TWICE = "SELECT instance_id, count(*) FROM job GROUP BY instance_id HAVING count(*) > 1"
_RESULTS_TWICE = (
    "SELECT coalesce('job ' || job_id, 'report ' || report_id), kind, count(*) FROM result WHERE is_current"
    " GROUP BY job_id, report_id, kind, profile HAVING count(*) > 1"
)


def lost(site: Hospital, expected: Mapping[str, int] | None = None) -> list[str]:
    """Acknowledged images that are not kept whole, or whose results are not in the archive."""
    spool = Spool(site.folder / "data" / "spool")
    rows = {
        uid: (digest, key) for uid, digest, key in site.ask("SELECT sop_instance_uid, digest, spool_key FROM instance")
    }
    missing = []
    for uid, dataset in site.acknowledged.items():
        if uid not in rows:
            missing.append(f"{uid}: no record")
        elif rows[uid][0] != hashlib.sha256(datasets.data_set_bytes(dataset)).hexdigest():
            missing.append(f"{uid}: recorded with other bytes than were sent")
        elif (why := _damage(spool, *rows[uid])) is not None:
            missing.append(f"{uid}: {why}")
        came = Counter(kept.modality for kept in site.record.of(str(dataset.StudyInstanceUID)))
        if absent := Counter(EXPECTED if expected is None else expected) - came:
            missing.append(f"{uid}: of its results {dict(absent)} did not come")
    return missing


def half_files(site: Hospital) -> list[str]:
    """Objects that a row names and that are not there, or not whole."""
    spool = Spool(site.folder / "data" / "spool")
    rows = site.ask("SELECT digest, spool_key FROM instance WHERE state != 'purged'")
    broken = [f"{key}: {why}" for digest, key in rows if (why := _damage(spool, digest, key)) is not None]
    for digest, key in site.ask("SELECT digest, spool_key FROM result WHERE state = 'kept'"):
        if (why := _damage(spool, digest, key, behind_meta=False)) is not None:
            broken.append(f"{key}: {why}")
    return broken


def duplicated(site: Hospital, expected: Mapping[str, int] | None = None) -> list[str]:
    """What is there twice: jobs of an image, results of a job, objects in the archive, contents of a UID."""
    twice = [
        *(f"instance {row[0]}: {row[1]} jobs" for row in site.ask(_JOBS_TWICE)),
        *(f"job or report {row[0]}: {row[2]} × {row[1]}" for row in site.ask(_RESULTS_TWICE)),
        *(f"{uid}: {len(digests)} contents" for uid, digests in site.record.contents.items() if len(digests) > 1),
    ]
    wanted = Counter(EXPECTED if expected is None else expected)
    for study in {str(dataset.StudyInstanceUID) for dataset in site.acknowledged.values()}:
        more = Counter(kept.modality for kept in site.record.of(study)) - wanted
        twice += [f"study {study}: {count} × {what} too many" for what, count in more.items()]
    return twice


def _damage(spool: Spool, digest: str, key: str, *, behind_meta: bool = True) -> str | None:
    """Why an object of the spool is not what its row says; None where it is. A result's digest is of the whole file."""
    try:
        whole = spool.read(key)
        start = read_file_meta(whole[:LONGEST_META]).data_set_offset if behind_meta else 0
    except NodeError as error:
        return str(error)
    return None if hashlib.sha256(memoryview(whole)[start:]).hexdigest() == digest else "other bytes than were kept"
