"""One object while it is written: its bytes, their digest, and what makes them durable."""

import contextlib
import hashlib
import os
from pathlib import Path
from types import TracebackType

from dicom_node.errors import StorageFault
from dicom_node.spool.faults import fsync_folder, raise_fault

#: pieces that one system call takes (IOV_MAX is 1,024)
_MOST_PIECES = 1024
#: bytes after which the disk is set to work on them, so that the flush at the end finds little left to do
_WRITE_BEHIND = 4 << 20


class Part:
    """An object that is being written; leaving the context without keep() removes it."""

    def __init__(self, key: str, file: int, path: Path, *, final: Path | None = None) -> None:
        """`file` is open for writing at `path`, a durable name. `final`: what it is renamed to once it is whole."""
        self.key = key
        self._file = file
        self._path = path
        self._final = final
        self._hash: hashlib._Hash | None = None
        self._kept = False
        #: bytes written so far, all of them
        self.size = 0
        #: bytes written since start_digest()
        self.digested = 0
        self._behind = 0

    def start_digest(self) -> None:
        """From here on the bytes count for `digest`: what stands before is not the data set."""
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 of what was written since start_digest(), 64 hexadecimal digits."""
        if self._hash is None:
            raise ValueError("start_digest() was not called, so there is no digest")
        return self._hash.hexdigest()

    def write(self, *pieces: bytes | memoryview) -> None:
        """Append the pieces. Raises OutOfRoom, StorageFault; what was written before then is removed on leaving."""
        size = sum(map(len, pieces))
        self.size += size
        try:
            for first in range(0, len(pieces), _MOST_PIECES):
                self._write(pieces[first : first + _MOST_PIECES])
        except OSError as error:
            raise_fault(error, f"writing {self._path}")
        # behind the write: the pieces are still in the processor's cache, and the disk may begin
        if self._hash is not None:
            self.digested += size
            for piece in pieces:
                self._hash.update(piece)
        if self.size - self._behind >= _WRITE_BEHIND:
            # to the page cache it says "not needed soon", and to the disk "write it now": only the latter is true of
            # pages that are still to be written
            with contextlib.suppress(OSError):  # advice: the flush in keep() tells what the disk made of the bytes
                os.posix_fadvise(self._file, self._behind, self.size - self._behind, os.POSIX_FADV_DONTNEED)
            self._behind = self.size

    def _write(self, pieces: tuple[bytes | memoryview, ...]) -> None:
        written = os.writev(self._file, pieces)
        for piece in pieces:
            if written >= len(piece):
                written -= len(piece)
                continue
            # the kernel cut it short: what is left goes on to its error, or to its end
            rest = memoryview(piece)[written:]
            written = 0
            while rest:
                rest = rest[os.write(self._file, rest) :]

    def keep(self) -> str:
        """Make the object durable (law 1) and return its key.

        One flush of the file, for its name is durable already; of a copy under a given key also the rename and the
        flush of its folder, in that order. fdatasync(2) is enough: it leaves out the times of a file, not its size
        nor where its blocks are. A flush that failed once may falsely succeed when tried again, so a fault ends this
        object: nothing is kept. Raises OutOfRoom, StorageFault.
        """
        try:
            os.fdatasync(self._file)
            gone = os.fstat(self._file).st_nlink == 0
            self._close()
            if self._final is not None and not gone:
                self._rename(self._final)
        except OSError as error:
            raise_fault(error, f"keeping {self._path}")
        if gone:
            raise StorageFault(
                f"{self._path} was removed while it was written: does anything but chexnode delete there?"
            )
        self._kept = True
        return self.key

    def _rename(self, final: Path) -> None:
        self._path.rename(final)
        try:
            fsync_folder(final.parent)
        except OSError:
            final.unlink(missing_ok=True)
            raise

    def __enter__(self) -> "Part":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._kept:
            return
        try:
            self._close()
        except OSError as fault:
            raise_fault(fault, f"closing {self._path}")
        finally:
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file >= 0:
            # after an error of close() the descriptor is gone all the same (close(2))
            closing, self._file = self._file, -1
            os.close(closing)
