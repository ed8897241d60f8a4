"""From the paths that somebody named to the files to look at: each once, in a stable order, none that would block."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_node.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Input:
    """One file, as it was named or found."""

    path: Path
    #: why it cannot be opened; empty: it is a regular file
    obstacle: str = ""


def inputs(paths: Sequence[Path], *, leave_out: Path | None = None) -> list[Input]:
    """Every file among `paths` and in their folders, links to folders followed once; nothing of `leave_out`.

    Raises ConfigurationError for a path that does not exist or a folder that cannot be listed.
    """
    found: dict[Path, Input] = {}
    entered: set[tuple[int, int]] = set()
    left_out = _identity(leave_out) if leave_out is not None and leave_out.is_dir() else None
    if left_out is not None:
        entered.add(left_out)
    for path in paths:
        if not (path.is_symlink() or path.exists()):
            raise ConfigurationError(f"{path} does not exist")
        if left_out is not None and _is_folder(path) and _identity(path) == left_out:
            raise ConfigurationError(f"{path} is the folder for the outputs as well: name another --out")
        for each in _walk(path, entered) if _is_folder(path) else [path]:
            found.setdefault(each.absolute(), Input(path=each, obstacle=_obstacle(each)))
    return list(found.values())


def _walk(folder: Path, entered: set[tuple[int, int]]) -> Iterator[Path]:
    """Files below `folder`, sorted by name, a folder's files before its folders'; no folder is entered twice."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            if (identity := _identity(here)) in entered:
                continue
            entered.add(identity)
            children = sorted(here.iterdir())
        except OSError as error:
            raise ConfigurationError(f"{here} cannot be listed: {error.strerror or error}") from error
        folders = [child for child in children if _is_folder(child)]
        yield from (child for child in children if child not in folders)
        waiting += reversed(folders)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int]:
    known = folder.stat()
    return known.st_dev, known.st_ino


def _obstacle(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "it is a link to a file that does not exist"
    except OSError as error:
        # a link that leads back to itself ends here
        return f"it cannot be opened: {error.strerror or error}"
    if not stat.S_ISREG(mode):
        return "it is no regular file"
    return "" if os.access(path, os.R_OK) else "it cannot be opened: Permission denied"
