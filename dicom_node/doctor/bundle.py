"""What somebody who helps from outside needs to see of a node, without a word about a patient.

Identifying values are looked up in the ledger and replaced by the keyed hashes of the log, whatever text they stand in;
so is all that looks like a UID. What a peer answered in its own words is left out, its status stays.
"""

import io
import json
import os
import platform
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path

from dicom_node import __version__
from dicom_node.config import Settings, load_settings
from dicom_node.doctor import examine
from dicom_node.errors import NodeError
from dicom_node.ledger import Ledger, census, schema
from dicom_node.logs import hashed, load_key

#: SOP classes, transfer syntaxes and the like (PS3.6 Annex A) say nothing of a patient
_STANDARD = "1.2.840.10008."
_UID = re.compile(r"(?<![\d.])[0-2](?:\.\d+){4,}(?![\d.])")
#: what of a peer's answer is no free text: a status of DIMSE, one of HTTP
_STATUS = re.compile(r"\b0x[0-9A-Fa-f]{4}\b|\bHTTP \d{3}\b|\b[45]\d\d\b")
#: nouns whose moves may have a reason in somebody else's words, and how ours look
_OTHERS_WORDS = frozenset({"delivery", "job", "commitment"})
_CODE = re.compile(r"[a-z_]{0,32}")
#: characters from which a value is looked for inside other text: shorter ones would be found everywhere
_SHORTEST = 3
#: settings that are not shown
_SECRET = frozenset({"ledger_url", "user", "own_user", "dicomweb_user", "user_secret", "own_user_secret"})
#: bytes of the end of each log that are read
_LONGEST_LOG = 8 << 20
#: moves that are told, the latest
_MOST_MOVES = 2000


class Scrub:
    """Text without identifying values."""

    def __init__(self, values: Iterable[str], words: Iterable[str], *, hash_of: Callable[[str], str]) -> None:
        """`values` are replaced by their hashes wherever they stand; `words` of peers by their statuses."""
        self._hash_of = hash_of
        self._words = {word: _answer(word) for word in words if word}
        known = sorted({value for value in values if len(value) >= _SHORTEST}, key=len, reverse=True)
        # no part of a longer word or number
        alternatives = "|".join(re.escape(value) for value in known)
        self._known = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE) if known else None

    def __call__(self, what: object) -> object:
        """`what`, as JSON has it, with each text in it scrubbed."""
        if isinstance(what, dict):
            return {key: self(value) for key, value in what.items()}
        if isinstance(what, list | tuple):
            return [self(value) for value in what]
        return self._text(what) if isinstance(what, str) else what

    def _text(self, text: str) -> str:
        for word, answer in self._words.items():
            text = text.replace(word, answer)
        if self._known is not None:
            text = self._known.sub(lambda found: f"#{self._hash_of(found.group())}", text)
        return _UID.sub(lambda found: self._uid(found.group()), text)

    def _uid(self, uid: str) -> str:
        return uid if uid.startswith(_STANDARD) else f"#{self._hash_of(uid)}"


def write(config: Path, out: Path, logs: Iterable[Path], *, now: float) -> list[str]:
    """Write the bundle, a .tar.gz that only its owner may read; the names of the files in it.

    Raises ConfigurationError where the configuration cannot be read, OSError.
    """
    settings = load_settings(config)
    key = load_key(settings.node.folder)
    files = dict(_files(config, settings, logs, hash_of=lambda value: hashed(value, key=key), now=now))
    handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"chexnode-support/{name}")
            data = text.encode()
            entry.size, entry.mtime, entry.mode = len(data), int(now), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return list(files)


def _files(
    config: Path, settings: Settings, logs: Iterable[Path], *, hash_of: Callable[[str], str], now: float
) -> Iterator[tuple[str, str]]:
    counted: dict[str, object] = {}
    moves: list[dict[str, object]] = []
    scrub = Scrub((), (), hash_of=hash_of)
    try:
        ledger = Ledger.for_settings(settings.node)
        try:
            with ledger.reading() as tx:
                scrub = Scrub(census.identifying(tx), census.words_of_peers(tx), hash_of=hash_of)
                counted = census.counts(tx)
                moves = census.moves(tx, limit=_MOST_MOVES)
        finally:
            ledger.close()
    except NodeError as error:
        counted = {"no ledger": str(error)}
    yield "versions.json", _json(_versions())
    yield "settings.json", _json(scrub(_shown(settings.model_dump(mode="json"))))
    yield "doctor.json", _json(scrub([asdict(check) for check in examine(config)]))
    yield "ledger.json", _json(scrub(counted))
    yield "moves.json", _json(scrub([{**move, "reason": _reason(move)} for move in moves]))
    yield "disk.json", _json(_disk(settings.node.folder, now=now))
    for number, path in enumerate(logs, start=1):
        yield f"log-{number}.jsonl", _log(path, scrub)


def _reason(move: dict[str, object]) -> str:
    """Why a state changed: our own word for it, or what is no free text of a peer's or an operator's answer."""
    reason = str(move["reason"])
    return reason if move["noun"] not in _OTHERS_WORDS or _CODE.fullmatch(reason) else _answer(reason)


def _answer(word: str) -> str:
    return " ".join(dict.fromkeys(_STATUS.findall(word))) or "(a peer's words)"


def _versions() -> dict[str, object]:
    return {
        "chexnode": __version__,
        "schema": schema.REVISION,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count(),
        "packages": dict(sorted((each.metadata["Name"], each.version) for each in distributions())),
    }


def _shown(settings: object, name: str = "") -> object:
    """Settings without those that let somebody in."""
    if isinstance(settings, dict):
        return {key: _shown(value, key) for key, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [_shown(value) for value in settings]
    hidden = name in _SECRET or name.endswith("_secret")
    return "(set, not shown)" if hidden and settings else settings


def _disk(folder: Path, *, now: float) -> dict[str, object]:
    """Room, and what lies in the folder: how many, how large, how old; no name of a file."""
    if not folder.is_dir():
        return {"no folder": str(folder)}
    state = os.statvfs(folder)
    found = [path.stat() for path in (folder / "spool").rglob("*") if path.is_file()]
    return {
        "free": state.f_bavail * state.f_frsize,
        "size": state.f_blocks * state.f_frsize,
        "spool_files": len(found),
        "spool_bytes": sum(each.st_size for each in found),
        "oldest_days": round(max((now - each.st_mtime for each in found), default=0.0) / 86400, 1),
        "ledger_bytes": sum(path.stat().st_size for path in folder.glob("ledger.sqlite*")),
    }


def _log(path: Path, scrub: Scrub) -> str:
    """The end of a log, scrubbed; lines that the node did not write are left out, and counted."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST_LOG))
        lines = file.read().decode("utf-8", "replace").splitlines()
    kept, foreign = [], 0
    for line in lines:
        try:
            told = json.loads(line[line.index("{") :])  # journalctl puts time and host in front
        except ValueError:
            foreign += 1
            continue
        kept.append(json.dumps(scrub(told)))
    if foreign:
        kept.append(json.dumps({"event": "lines left out that are not the node's own", "count": foreign}))
    return "\n".join(kept) + "\n"


def _json(what: object) -> str:
    return json.dumps(what, indent=2) + "\n"
