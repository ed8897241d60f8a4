"""A consistent copy of ledger and spool in another folder, taken while the node is at work.

A backup is laid out as node.folder is: whoever copies it back has the node as it was at one moment. Run again into the
same folder, it copies only what came since; until the new copy is whole, the one before stays.
"""

import hashlib
import json
import os
import shutil
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from dicom_node import __version__
from dicom_node.config import Settings
from dicom_node.errors import ConfigurationError, LostRace, OutOfRoom, StorageFault
from dicom_node.ledger import Ledger, schema, snapshot, url_for
from dicom_node.ledger.named import Named, named
from dicom_node.spool import NO_ROOM, Spool, fsync_folder

#: what a backup says of itself; written last
NOTE = "backup.json"
#: times that the ledger is copied anew since retention deleted what the copy names
_ROUNDS = 5
#: what stands beside the ledger and belongs to it: hashes of the log stay those of the same identifiers
_BESIDE = ("log.key",)


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What a backup holds, and of what."""

    #: seconds since the epoch
    taken_at: float
    host: str
    version: str
    #: of the ledger's schema
    revision: str
    #: file in the backup
    ledger: str
    #: SHA-256 of that file, 64 hexadecimal digits
    ledger_digest: str
    objects: int
    #: of all objects
    bytes: int
    #: objects that the ledger names and the spool lacks: `chexnode verify` tells more
    missing: int


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What one run did."""

    backup: Backup
    #: objects that were not in the folder before
    objects: int
    #: bytes of those
    bytes: int


def back_up(settings: Settings, config: Path, to: Path, *, now: float) -> Copied:
    """Back the node up into `to`, a new folder, an empty one, or one that holds a backup.

    Raises ConfigurationError for a folder with something else in it, what Ledger.for_settings does, OutOfRoom,
    StorageFault, LostRace; then the backup that was there before is still whole.
    """
    url, source = url_for(settings.node), Spool(settings.node.folder / "spool")
    # the node's own ledger must be there and of this version before a folder is made
    Ledger.for_settings(settings.node).close()
    _require_own(to, settings.node.folder)
    try:
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy = Spool(to / "spool")
        name = snapshot.name_for(url)
        part = to / f"{name}.part"
        fresh: dict[str, int] = {}
        for _ in range(_ROUNDS):
            for begun in to.glob(f"{part.name}*"):  # SQLite's journal of a copy that was killed, too
                begun.unlink()
            objects = snapshot.take(url, part)
            missing = _copy_objects(objects, source, copy, fresh)
            # what retention deleted since the snapshot: of that, another snapshot is to be taken
            if not missing or _still_named(settings, missing):
                break
        else:
            raise LostRace(f"retention deleted what was to be copied, {_ROUNDS} times in turn: run the backup again")
        backup = _note(objects, copy, part, name=name, missing=len(missing), now=now)
        _put_in_place(part, to, name, backup, config, settings.node.folder)
        copy.sweep({each.spool_key for each in objects}, older_than=0.0, now=float("inf"))
    except OSError as error:
        if error.errno in NO_ROOM:
            raise OutOfRoom(f"no room for the backup at {to}: make room there and run it again") from error
        raise StorageFault(f"backing up to {to} failed ({error.strerror}): check that disk and its mount") from error
    return Copied(backup=backup, objects=len(fresh), bytes=sum(fresh.values()))


def _require_own(to: Path, folder: Path) -> None:
    inside = to.resolve()
    if inside == folder.resolve() or folder.resolve() in inside.parents:
        raise ConfigurationError(f"{to} lies in node.folder ({folder}): a backup belongs on another disk")
    if to.exists() and not to.is_dir():
        raise ConfigurationError(f"{to} is no folder: name one for the backup")
    there = {path.name for path in to.iterdir()} if to.is_dir() else set()
    begun = {"spool", *snapshot.NAMES.values(), *(f"{name}.part" for name in snapshot.NAMES.values())}
    if there and NOTE not in there and not there <= begun:
        raise ConfigurationError(f"{to} holds something that is no backup: name a new folder, or an earlier backup")


def _copy_objects(objects: list[Named], source: Spool, copy: Spool, fresh: dict[str, int]) -> list[Named]:
    """Copy what is not there yet, noting each object's bytes in `fresh`; those that the source lacks."""
    missing = []
    for each in objects:
        path = copy.path(each.spool_key)
        if path.exists():
            continue
        try:
            size = copy.take(source.path(each.spool_key), each.spool_key)
        except FileNotFoundError:
            missing.append(each)
        else:
            fresh[each.spool_key] = size
    return missing


def _still_named(settings: Settings, missing: list[Named]) -> bool:
    """Whether the ledger of this moment names all that is missing: then the spool lost it, not retention."""
    ledger = Ledger.for_settings(settings.node)
    try:
        with ledger.reading() as tx:
            there = {each.spool_key for each in named(tx)}
    finally:
        ledger.close()
    return all(each.spool_key in there for each in missing)


def _note(objects: list[Named], copy: Spool, part: Path, *, name: str, missing: int, now: float) -> Backup:
    sizes = [path.stat().st_size for each in objects if (path := copy.path(each.spool_key)).exists()]
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return Backup(
        taken_at=now,
        host=socket.gethostname(),
        version=__version__,
        revision=schema.REVISION,
        ledger=name,
        ledger_digest=digest,
        objects=len(sizes),
        bytes=sum(sizes),
        missing=missing,
    )


def _put_in_place(part: Path, to: Path, name: str, backup: Backup, config: Path, folder: Path) -> None:
    """The ledger's copy takes the place of the earlier one once every object that it names is durable."""
    for beside in (folder / each for each in _BESIDE):
        if beside.exists():
            _replace(to / beside.name, beside.read_bytes())
    _replace(to / "chexnode.toml", config.read_bytes())
    part.rename(to / name)
    _replace(to / NOTE, json.dumps(asdict(backup), indent=2).encode() + b"\n")


def _replace(path: Path, data: bytes) -> None:
    """Whole or not at all, and for its owner alone."""
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    shutil.move(new, path)
    fsync_folder(path.parent)
