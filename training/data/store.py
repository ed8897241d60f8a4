"""The films of one size, decoded once: a flat file of pictures, and beside it whose they are, a line each."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

try:
    import fcntl
except ImportError:  # not on Windows: there one run at a time writes to a folder
    fcntl = None  # type: ignore[assignment]

#: part of every identity: another number and all films are decoded anew. Raise it when the chain from file to
#: cached film changes what it gives.
_CHAIN = 2
#: octets at each end of a file that its identity is made of
_ENDS = 1 << 16


def identity(path: Path) -> str:
    """32 hex digits that stand for the content of a file: its length, its first and its last 64 KiB.

    A DICOM file's UIDs and a compressed picture's whole beginning are in it; reading all of 15,000 films of 10 MB
    would take longer than the epoch. Raises OSError.
    """
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        digest = hashlib.sha256(f"{_CHAIN} {length} ".encode() + file.read(_ENDS))
        if length > _ENDS:
            file.seek(max(length - _ENDS, _ENDS))
            digest.update(file.read(_ENDS))
    return digest.hexdigest()[:32]


class FilmStore:
    """Square films of `size` pixels a side in `folder`, appended one by one, never changed.

    A film counts once its line stands whole in the index, which is written after its pixels: whenever a writer is
    killed, the next one goes on behind the last whole film.
    """

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._size = size
        self._pixels = folder / f"films-{size}.u8"
        self._index = folder / f"films-{size}.txt"
        self._lock = folder / f"films-{size}.lock"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store alone, and cut off what a killed writer left half-way."""
        with self._lock.open("a") as lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            names = self._names()
            for path, length in ((self._index, sum(len(name) + 1 for name in names)), (self._pixels, len(names))):
                path.touch()
                os.truncate(path, length if path is self._index else length * self._size**2)
            yield

    def rows(self) -> dict[str, int]:
        """Where each film lies."""
        return {name: row for row, name in enumerate(self._names())}

    def add(self, name: str, film: NDArray[np.uint8]) -> None:
        """Append one film, (size, size). Within `writing` only."""
        with self._pixels.open("ab") as pixels:
            pixels.write(np.ascontiguousarray(film).data)
        with self._index.open("a") as index:
            index.write(f"{name}\n")

    def films(self, names: Sequence[str]) -> NDArray[np.uint8]:
        """(N, size, size), in the order of `names`; mapped where they lie in it, else copied.

        What is written into it stays in memory.
        """
        if not names:
            return np.empty((0, self._size, self._size), np.uint8)
        known = self.rows()
        rows = np.array([known[name] for name in names])
        stored = np.memmap(self._pixels, np.uint8, "c", shape=(len(known), self._size, self._size))
        if np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            return stored[rows[0] : rows[0] + len(rows)]
        copied: NDArray[np.uint8] = np.asarray(stored)[rows]
        return copied

    def _names(self) -> list[str]:
        """The films that are whole, in their order."""
        if not self._index.exists() or not self._pixels.exists():
            return []
        lines = self._index.read_text().splitlines(keepends=True)
        whole = [line.rstrip("\n") for line in lines if line.endswith("\n")]
        return whole[: self._pixels.stat().st_size // self._size**2]
