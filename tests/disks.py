"""A small real file system that a test may fill to its last byte."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """An empty ext4 of that size, mounted; skips where nothing may be mounted."""
    if shutil.which("mkfs.ext4") is None or os.geteuid() != 0:
        pytest.skip("a small disk is mounted by root with mkfs.ext4: run as root, with Debian's e2fsprogs")
    image, place = folder / "disk.img", folder / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True, capture_output=True)
    mounted = subprocess.run(
        ["mount", "-o", "loop", str(image), str(place)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"nothing may be mounted here (--cap-add SYS_ADMIN): {mounted.stderr.strip()[:120]}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True, capture_output=True)


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Fill a disk but for `leave` bytes; the file that does so."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        while (free := free_bytes(disk) - leave) > 0:
            try:
                file.write(bytes(min(free, 1 << 20)))
            except OSError:
                break
        with contextlib.suppress(OSError):
            os.fsync(file.fileno())
    return filler


def free_bytes(disk: Path) -> int:
    """What may still be written."""
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize
