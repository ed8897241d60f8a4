"""The machine: room and speed of the disk, and whether the clock can be believed."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dicom_node
from dicom_node.config import Settings
from dicom_node.doctor.check import Check, failed, ok, warning

#: seconds of one flush from which receiving is slow: each image costs at least three
_SLOW_FLUSH = 0.1
#: seconds by which clocks may differ before leases and waits go wrong
_SKEW = 5.0


def checks(settings: Settings) -> Iterator[Check]:
    """Disk and clock."""
    yield from _disk(settings)
    yield _clock(settings)


def _disk(settings: Settings) -> Iterator[Check]:
    folder = settings.node.folder
    there = _existing(folder)
    try:
        flush = _flush(there)
    except OSError as error:
        advice = f"give the user that runs chexnode write access to {there}, or set node.folder"
        yield failed("disk", f"{there} cannot be written: {error.strerror or error}", advice)
        return
    state = os.statvfs(there)
    free = state.f_bavail * state.f_frsize
    said = f"{free / 1e9:.1f} GB free at {there}, a flush takes {flush * 1000:.1f} ms"
    low, watermark = settings.receive.low_watermark, settings.retention.watermark
    if free < low:
        advice = "make room: until then every association is refused as transient"
        yield failed("disk", f"{said}; receive.low_watermark is {low / 1e9:.1f} GB", advice)
    elif free < watermark:
        advice = "make room: until then delivered studies are deleted before their days are over"
        yield warning("disk", f"{said}; retention.watermark is {watermark / 1e9:.1f} GB", advice)
    elif flush > _SLOW_FLUSH:
        yield warning("disk", said, "each image costs at least three flushes: a faster disk receives faster")
    else:
        yield ok("disk", said)
    if folder.is_dir() and folder.stat().st_mode & 0o077:
        advice = f"chmod 700 {folder}"
        yield warning("disk", f"{folder} holds patients' images and other users of this machine may look in", advice)


def _clock(settings: Settings) -> Check:
    now = time.time()
    newest = max(path.stat().st_mtime for path in Path(dicom_node.__file__).parent.glob("*.py"))
    if now < newest - _SKEW:
        return failed("clock", "this machine's clock is behind its own programs' files", "set it, and let NTP keep it")
    of_disk = now
    # a disk that cannot be written has been named already
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=_existing(settings.node.folder)) as file:
        of_disk = os.fstat(file.fileno()).st_mtime
    if abs(of_disk - now) > _SKEW:
        said = f"this machine's clock and its disk's differ by {abs(of_disk - now):.0f} s"
        return warning("clock", said, "let NTP set both")
    return ok("clock", time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now)))


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())


def _flush(folder: Path) -> float:
    """Seconds of one small write and fsync, the quickest of three: a busy disk is no slow one."""
    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(3):
            file.write(bytes(4096))
            file.flush()
            started = time.monotonic()
            os.fsync(file.fileno())
            taken.append(time.monotonic() - started)
    return min(taken)
