"""The folder that `chexnode infer` writes: a folder an image, a report a study, and findings.json over all of them."""

import contextlib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.errors import OutOfRoom

#: PS3.5 9.1: components of digits without leading zero; at most 64 characters. One component names nothing
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_LONGEST_UID = 64

#: what an image's folder may hold, by its key in findings.json
FILES = {"seg": "seg.dcm", "sc": "sc.dcm", "overlay": "overlay.png", "gsps": "gsps.dcm"}
#: the key of a study's report, which lies in REPORTS under its Study Instance UID
REPORT = "sr"
REPORTS = "reports"
#: the keys that findings.json has of each image, whatever is written
KEYS = ("seg", "sc", "overlay")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One input file's object in findings.json, all but its outputs, which are named once all inputs are known."""

    #: SHA-256 of the file, 64 hex digits; empty: it could not be read
    digest: str
    sop_instance_uid: str | None
    #: every key but `outputs`, in order
    values: Mapping[str, object]
    #: keys of FILES that were written
    written: frozenset[str] = field(default_factory=frozenset)
    #: findings that are drawn
    drawn: int = 0
    #: file in REPORTS; empty: its study has no report
    report: str = ""


def is_well_formed(uid: str) -> bool:
    """Whether `uid` is a UID by PS3.5 9.1, and so a harmless name for a folder."""
    return len(uid) <= _LONGEST_UID and _UID.fullmatch(uid) is not None


class OutputFolder:
    """Images come one by one; which SOP Instance UID is unique is known only after the last one."""

    def __init__(self, folder: Path, *, keys: Sequence[str] = KEYS) -> None:
        self._folder = folder
        self._keys = keys
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, digest: str, files: Mapping[str, bytes]) -> frozenset[str]:
        """Write one image's files, by key of FILES, into the folder of its digest. Raises OutOfRoom."""
        folder = self._folder / digest
        with _room(folder):
            folder.mkdir(exist_ok=True)
            for key, name in FILES.items():
                if key in files:
                    (folder / name).write_bytes(files[key])
                else:
                    (folder / name).unlink(missing_ok=True)
        return frozenset(files)

    def write_report(self, study_instance_uid: str, data: bytes) -> str:
        """Write a study's report; the name of its file. Raises OutOfRoom."""
        uid = study_instance_uid
        stem = uid if is_well_formed(uid) else hashlib.sha256(uid.encode("utf-8", "replace")).hexdigest()
        with _room(self._folder / REPORTS):
            (self._folder / REPORTS).mkdir(exist_ok=True)
            (self._folder / REPORTS / f"{stem}.dcm").write_bytes(data)
        return f"{stem}.dcm"

    def finish(self, entries: Sequence[Entry]) -> Path:
        """Name the images' folders, write findings.json and say where it is. Raises OutOfRoom."""
        listing = self._folder / "findings.json"
        draft = self._folder / ".findings.json"
        names = self._names(entries)
        with _room(self._folder):
            for digest, name in names.items():
                self._rename(digest, name)
            draft.write_text(json.dumps([self._object(entry, names) for entry in entries], indent=2) + "\n")
            draft.replace(listing)
        return listing

    def _names(self, entries: Sequence[Entry]) -> dict[str, str]:
        """The folder's name of each digest: the UID where it is well-formed and no other input's."""
        holders = Counter(entry.sop_instance_uid for entry in entries)
        return {
            entry.digest: uid if uid and holders[uid] == 1 and is_well_formed(uid) else entry.digest
            for entry in entries
            if entry.written
            for uid in [entry.sop_instance_uid]
        }

    def _rename(self, digest: str, name: str) -> None:
        source, target = self._folder / digest, self._folder / name
        if source == target:
            return
        # an earlier run's folder may be there: its files of the same name are replaced, nothing else is touched
        target.mkdir(exist_ok=True)
        for file in FILES.values():
            if (source / file).exists():
                (source / file).replace(target / file)
            else:
                (target / file).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            source.rmdir()

    def _object(self, entry: Entry, names: Mapping[str, str]) -> dict[str, object]:
        folder = self._folder / names[entry.digest] if entry.written else None
        written = {key: os.fspath(folder / FILES[key]) for key in entry.written} if folder is not None else {}
        if entry.report:
            written[REPORT] = os.fspath(self._folder / REPORTS / entry.report)
        return {**entry.values, "outputs": {key: written.get(key) for key in self._keys}}


@contextlib.contextmanager
def _room(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutOfRoom(f"{where} cannot be written: {error.strerror or error}; name another --out") from error
