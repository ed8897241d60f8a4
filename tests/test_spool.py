"""Law 1 and law 4 on the side of the bytes, watched by strace; and what a failing disk does."""

import errno
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dicom_node.errors import OutOfRoom, StorageFault
from dicom_node.spool import Spool, names

ROOT = Path(__file__).parents[1]
#: keeps one object of 300 kB in two writes; says what it raised, or the key
KEEP = """
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from dicom_node.errors import NodeError
from dicom_node.spool import Spool, names
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


def _under_strace(folder: Path, *options: str, code: int = 0, script: str = KEEP) -> tuple[str, list[str]]:
    """What `script` says on a spool that exists already before it ends by `code`, and the traced calls, one a line."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt-get install -y --no-install-recommends strace")
    Spool(folder)
    trace = folder.parent / "trace"
    done = subprocess.run(
        ["strace", "-y", "-s", "0", "-o", trace, *options, sys.executable, "-c", script, folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "PTRACE" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()[:200]}")
    assert done.returncode == code, done.stderr
    return done.stdout.strip(), trace.read_text().splitlines()


@pytest.mark.peer
def test_the_order_is_name_flush_of_its_folder_write_flush(tmp_path: Path) -> None:
    key, trace = _under_strace(tmp_path / "spool", "-e", "trace=openat,write,writev,fsync,fdatasync,/rename")
    mine = [line for line in trace if f"/spool/objects/{key[:2]}" in line]
    steps = [
        (re.match(r"\w+", line).group(), "O_EXCL" in line, re.findall(r"/spool/([\w/]+)", line)[-1])  # type: ignore[union-attr]  # each line is a call
        for line in mine
    ]
    folder, name = f"objects/{key[:2]}", f"objects/{key[:2]}/{key}"
    assert steps == [
        ("openat", True, name),
        ("openat", False, folder),
        ("fsync", False, folder),
        ("openat", False, name),
        ("writev", False, name),
        ("writev", False, name),
        ("fdatasync", False, name),
    ]
    assert Spool(tmp_path / "spool").read(key) == b"x" * 200_000 + b"y" * 100_000


@pytest.mark.peer
@pytest.mark.parametrize("call", ["fsync", "fdatasync"], ids=["of the folder", "of the file"])
def test_a_failed_flush_keeps_nothing_and_is_not_tried_again(tmp_path: Path, call: str) -> None:
    said, trace = _under_strace(tmp_path / "spool", "-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when=1")
    assert said == "StorageFault"
    assert len([line for line in trace if line.startswith(call)]) == 1
    assert _files(tmp_path / "spool") == []


@pytest.mark.peer
@pytest.mark.parametrize(
    ("call", "code", "expected"),
    [
        ("writev", "ENOSPC", "OutOfRoom"),
        ("writev", "EIO", "StorageFault"),
        ("fsync", "ENOSPC", "OutOfRoom"),
        ("fdatasync", "ENOSPC", "OutOfRoom"),
    ],
)
def test_a_full_or_failing_disk_is_told_and_keeps_nothing(tmp_path: Path, call: str, code: str, expected: str) -> None:
    said, _ = _under_strace(tmp_path / "spool", "-e", f"trace={call}", "-e", f"inject={call}:error={code}:when=1")
    assert said == expected
    assert _files(tmp_path / "spool") == []


@pytest.mark.peer
@pytest.mark.parametrize("call", ["fsync", "writev", "fdatasync"])
def test_killed_at_any_step_it_leaves_what_no_row_names_and_a_sweep_takes(tmp_path: Path, call: str) -> None:
    said, _ = _under_strace(
        tmp_path / "spool", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when=1", code=-9
    )
    assert said == ""
    (left,) = _files(tmp_path / "spool")
    spool = Spool(tmp_path / "spool")
    assert spool.orphans(()) == ([left] if call == "fdatasync" else []), "an empty name holds nothing"
    now = left.stat().st_mtime
    assert spool.sweep(set(), older_than=3600.0, now=now) == []
    assert _files(tmp_path / "spool") == [left]
    spool.sweep(set(), older_than=3600.0, now=now + 7200)
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
    spool.close()
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
    half.write(b"half")
    now = spool.path(young).stat().st_mtime
    for key in (known, orphan, half.key):
        os.utime(spool.path(key), (now - 7200, now - 7200))
    assert sorted(spool.sweep({known}, older_than=3600.0, now=now)) == sorted([orphan, half.key])
    assert spool.read(known) == b"known"
    assert spool.read(young) == b"young"
    with half, fresh_half:
        fresh_half.write(b"fresh")
        fresh_half.keep()
    assert spool.read(fresh_half.key) == b"fresh"
    assert sorted(spool.sweep(set(), older_than=0.0, now=now + 60)) == sorted([known, young, fresh_half.key])


def test_a_part_that_was_swept_from_under_its_writer_is_not_kept(spool: Spool, tmp_path: Path) -> None:
    with spool.new() as part:
        part.write(b"bytes")
        later = spool.path(part.key).stat().st_mtime + 1
        assert spool.sweep(set(), older_than=0.0, now=later) == [part.key]
        with pytest.raises(StorageFault, match="removed while it was written"):
            part.keep()
    assert _files(tmp_path) == []


def test_a_spool_is_opened_again_as_it_is(spool: Spool, tmp_path: Path) -> None:
    key = spool.put(b"bytes")
    assert Spool(tmp_path / "spool").read(key) == b"bytes"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFault, match=re.escape(os.strerror(errno.ENOTDIR))):
        Spool(tmp_path / "file" / "spool")


# ── names ahead of time ──────────────────────────────────────────────────────────────────────────────────────────────


def test_one_name_at_first_then_more_and_none_are_left_at_the_end(spool: Spool, tmp_path: Path) -> None:
    made = []
    for _ in range(6):
        spool.put(b"bytes")
        made.append(len(_files(tmp_path / "spool")))
    assert made == [1, 5, 5, 5, 5, 21], "one name, then four, then sixteen"
    assert len({path.parent for path in _files(tmp_path / "spool")}) <= 3, "the names of one flush lie in one folder"
    spool.close()
    assert len(_files(tmp_path / "spool")) == 6


@pytest.mark.peer
def test_a_hundred_objects_take_one_flush_each_and_few_for_their_names(tmp_path: Path) -> None:
    script = KEEP.split("try:")[0] + "said = len([spool.put(b'x') for _ in range(100)])\nprint(said)"
    said, trace = _under_strace(tmp_path / "spool", "-e", "trace=fsync,fdatasync", script=script)
    assert said == "100"
    flushes = [line.partition("(")[0] for line in trace]
    assert (flushes.count("fdatasync"), flushes.count("fsync")) == (100, 5), "1 + 4 + 16 + 64 + 64 names"


def test_a_name_that_grew_old_is_not_used(spool: Spool, tmp_path: Path) -> None:
    """A sweep that looked at it before it was written to would take it from under its writer."""
    spool.put(b"first")
    spool.put(b"second")
    waiting = [path for path in _files(tmp_path / "spool") if not path.stat().st_size]
    assert len(waiting) == 3
    for path in waiting:
        os.utime(path, (0, time.time() - names.STALE - 1))
    key = spool.put(b"after the night")
    assert key not in {path.name for path in waiting}
    assert not any(path.exists() for path in waiting)
    assert len(_files(tmp_path / "spool")) == 3, "and it begins again with one"


def test_names_that_were_removed_behind_its_back_are_passed_over(spool: Spool, tmp_path: Path) -> None:
    for _ in range(2):
        spool.put(b"bytes")
    assert spool.sweep(set(), older_than=0.0, now=time.time() + 60)
    assert _files(tmp_path / "spool") == []
    assert spool.read(spool.put(b"more")) == b"more"


def test_many_threads_never_share_a_name(spool: Spool) -> None:
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(spool.put, [str(number).encode() for number in range(200)]))
    assert [spool.read(key) for key in kept] == [str(number).encode() for number in range(200)]


def test_a_copy_appears_whole_or_not_at_all(spool: Spool, tmp_path: Path) -> None:
    """Rows name its key already: a copy that was killed must not look like one that is there."""
    key = spool.put(b"bytes of another spool")
    copy = Spool(tmp_path / "copy")
    with copy._begun(tmp_path / "copy" / "parts" / key, copy.path(key)) as half:
        half.write(b"bytes of")
        assert not copy.path(key).exists()
    assert copy.take(spool.path(key), key) == 22
    assert copy.read(key) == b"bytes of another spool"
