"""Law 1 and law 4 on the side of the bytes, watched by strace; and what a failing disk does."""

import errno
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_node.errors import OutOfRoom, StorageFault
from dicom_node.spool import Spool

ROOT = Path(__file__).parents[1]
#: keeps one object of 300 kB in two writes; says what it raised, or the key
KEEP = """
import sys
from pathlib import Path
from dicom_node.errors import NodeError
from dicom_node.spool import Spool
spool = Spool(Path(sys.argv[1]))
try:
    with spool.new() as part:
        part.write(b"x" * 200_000)
        part.write(b"y" * 100_000)
        said = part.keep()
except NodeError as error:
    said = type(error).__name__
print(said)
"""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _under_strace(folder: Path, *options: str) -> tuple[str, list[str]]:
    """What KEEP says on a spool that exists already, and the traced calls, one a line."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install -y --no-install-recommends strace")
    Spool(folder)
    trace = folder.parent / "trace"
    done = subprocess.run(
        ["strace", "-y", "-s", "0", "-o", trace, *options, sys.executable, "-c", KEEP, folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "PTRACE" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), trace.read_text().splitlines()


@pytest.mark.peer
def test_the_order_is_write_fsync_rename_fsync_of_the_folder(tmp_path: Path) -> None:
    key, trace = _under_strace(tmp_path / "spool", "-e", "trace=write,fsync,fdatasync,/rename")
    mine = [line for line in trace if "/spool/" in line]
    steps = [
        (re.match(r"\w+", line).group(), re.findall(r"/spool/([\w/]+)", line))  # type: ignore[union-attr]  # each line is a call
        for line in mine
    ]
    part, final = f"parts/{key}", f"objects/{key[:2]}/{key}"
    assert steps == [
        ("write", [part]),
        ("write", [part]),
        ("fsync", [part]),
        ("rename", [part, final]),
        ("fsync", [f"objects/{key[:2]}"]),
    ]
    assert Spool(tmp_path / "spool").read(key) == b"x" * 200_000 + b"y" * 100_000


@pytest.mark.peer
@pytest.mark.parametrize("which", [1, 2], ids=["of the file", "of the folder"])
def test_a_failed_fsync_keeps_nothing_and_is_not_tried_again(tmp_path: Path, which: int) -> None:
    said, trace = _under_strace(tmp_path / "spool", "-e", "trace=fsync", "-e", f"inject=fsync:error=EIO:when={which}")
    assert said == "StorageFault"
    assert len([line for line in trace if line.startswith("fsync")]) == which
    assert _files(tmp_path / "spool") == []


@pytest.mark.peer
@pytest.mark.parametrize(
    ("call", "code", "expected"),
    [("write", "ENOSPC", "OutOfRoom"), ("write", "EIO", "StorageFault"), ("fsync", "ENOSPC", "OutOfRoom")],
)
def test_a_full_or_failing_disk_is_told_and_keeps_nothing(tmp_path: Path, call: str, code: str, expected: str) -> None:
    said, _ = _under_strace(tmp_path / "spool", "-e", f"trace={call}", "-e", f"inject={call}:error={code}:when=1")
    assert said == expected
    assert _files(tmp_path / "spool") == []


def test_a_write_that_the_kernel_cuts_short_goes_on_to_its_error(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    Spool(folder)
    script = KEEP.replace("part.keep()", "part.keep(), part.size").replace(
        "spool = ", "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, 250_000)); spool = "
    )
    done = subprocess.run([sys.executable, "-c", script, folder], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "OutOfRoom", "the kernel takes 50 kB of the second write, then EFBIG"
    assert _files(folder) == []


def test_an_object_comes_back_and_is_nobody_elses_to_read(spool: Spool, tmp_path: Path) -> None:
    key = spool.put(b"DICM")
    assert spool.read(key) == b"DICM"
    assert stat.S_IMODE(spool.path(key).stat().st_mode) == 0o600
    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    spool.remove(key)
    spool.remove(key)
    with pytest.raises(StorageFault, match=key):
        spool.read(key)


def test_the_digest_is_of_what_follows_the_header(spool: Spool) -> None:
    with spool.new() as part:
        part.write(b"preamble and file meta")
        with pytest.raises(ValueError, match="start_digest"):
            _ = part.digest
        part.start_digest()
        part.write(memoryview(b"data "))
        part.write(memoryview(b"set"))
        key = part.keep()
    assert part.digest == hashlib.sha256(b"data set").hexdigest()
    assert (part.size, part.digested) == (30, 8)
    assert spool.read(key) == b"preamble and file metadata set"


def test_what_is_not_kept_is_gone(spool: Spool, tmp_path: Path) -> None:
    def interrupted() -> None:
        with spool.new() as part:
            part.write(b"half")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted()
    with spool.new() as part:
        part.write(b"never kept")
    assert _files(tmp_path) == []


def test_what_does_not_fit_is_refused_before_it_is_written(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(OutOfRoom, match="make room"):
        spool.new(expected=spool.free_bytes() + (1 << 40))
    assert _files(tmp_path) == []


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "1.2.840.113619.2.1", "", "A" * 32, "0" * 31, "0" * 33, "0" * 32 + "\n"]
)
def test_only_names_of_our_own_are_paths(spool: Spool, key: str) -> None:
    with pytest.raises(ValueError, match="is no key"):
        spool.path(key)
    with pytest.raises(ValueError, match="is no key"):
        spool.remove(key)


def test_a_sweep_takes_orphans_and_leaves_what_is_known_or_young(spool: Spool) -> None:
    known, orphan, young = (spool.put(name) for name in (b"known", b"orphan", b"young"))
    half, fresh_half = spool.new(), spool.new()
    now = spool.path(young).stat().st_mtime
    for path in (spool.path(known), spool.path(orphan), spool.path(known).parents[2] / "parts" / half.key):
        os.utime(path, (now - 7200, now - 7200))
    assert sorted(spool.sweep({known}, older_than=3600.0, now=now)) == sorted([orphan, half.key])
    assert spool.read(known) == b"known"
    assert spool.read(young) == b"young"
    with half, fresh_half:
        fresh_half.keep()
    assert spool.read(fresh_half.key) == b""
    assert sorted(spool.sweep(set(), older_than=0.0, now=now + 60)) == sorted([known, young, fresh_half.key])


def test_a_part_that_was_swept_from_under_its_writer_is_not_kept(spool: Spool, tmp_path: Path) -> None:
    with spool.new() as part:
        part.write(b"bytes")
        later = (tmp_path / "spool" / "parts" / part.key).stat().st_mtime + 1
        assert spool.sweep(set(), older_than=0.0, now=later) == [part.key]
        with pytest.raises(StorageFault):
            part.keep()
    assert _files(tmp_path) == []


def test_a_spool_is_opened_again_as_it_is(spool: Spool, tmp_path: Path) -> None:
    key = spool.put(b"bytes")
    assert Spool(tmp_path / "spool").read(key) == b"bytes"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFault, match=re.escape(os.strerror(errno.ENOTDIR))):
        Spool(tmp_path / "file" / "spool")
