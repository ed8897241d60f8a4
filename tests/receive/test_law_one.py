"""Law 1 from a system-call trace: name durable, bytes flushed, row committed, and only then the response."""

import re
import subprocess
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from tests import datasets
from tests.peers import association, program
from tests.receive.roles import ReceiveRole

_CALLS = "openat,fsync,fdatasync,sendto"
_OBJECT = re.compile(r"/objects/([0-9a-f]{2})/([0-9a-f]{32})")
_FAN = re.compile(r"/objects/([0-9a-f]{2})>")
_LINE = re.compile(r"^(\d+)\s+(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$")


def _completed(trace: Path) -> list[tuple[str, str]]:
    """(call, arguments) in the order in which the calls returned, those that failed left out."""
    begun: dict[str, str] = {}
    calls = []
    for line in trace.read_text(errors="replace").splitlines():
        found = _LINE.match(line)
        if not found:
            continue
        thread, resumed, started, rest = found.groups()
        if started and rest.endswith("<unfinished ...>"):
            begun[thread] = rest
        elif "= -1" not in rest:
            calls.append((resumed or started, begun.pop(thread, "") + rest if resumed else rest))
    return calls


def _steps(calls: list[tuple[str, str]]) -> list[str]:
    """The steps of the law, in the order in which they were done: a file counts once its name was made durable."""
    steps = []
    made: dict[str, set[str]] = {}
    durable: set[str] = set()
    for call, arguments in calls:
        found = _OBJECT.search(arguments)
        if call == "sendto" and '"\\4\\0' in arguments:
            steps.append("response")
        elif call == "openat" and found and "O_EXCL" in arguments:
            made.setdefault(found[1], set()).add(found[2])
        elif call in ("fsync", "fdatasync"):
            if found:
                steps.append("file" if found[2] in durable else "file-without-name")
            elif fan := _FAN.search(arguments):
                durable |= made.pop(fan[1], set())
                steps.append("names")
            elif "ledger.sqlite-wal" in arguments:
                steps.append("commit")
    return steps


@pytest.mark.peer
def test_the_order_of_every_receive(tmp_path: Path) -> None:
    role = ReceiveRole(tmp_path)
    trace = tmp_path / "trace"
    traced = [program("strace"), "-f", "-qq", "-y", "-s", "16", "-e", f"trace={_CALLS}", "-o", str(trace)]
    if subprocess.run([*traced, "true"], check=False, capture_output=True).returncode:
        pytest.skip("strace may not trace here: run where ptrace is allowed (--cap-add SYS_PTRACE)")
    with role.running(before=traced) as process:
        with association(role.port, (datasets.chest().SOPClassUID, ExplicitVRLittleEndian), seconds=60) as sender:
            for size in (16, 64, 900, 16, 16):
                assert sender.send_c_store(datasets.chest(size, size)).Status == 0x0000
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)
    steps = _steps(_completed(trace))
    assert steps.count("response") == 5
    # a sign of life may be committed at any time, so the commit is asked for between file and response
    for receive in " ".join(steps).split("response")[:5]:
        assert re.search(r"\bfile (.* )?commit $", receive), steps
    # the first makes its own name durable, and one flush those of the next four
    assert steps.count("names") == 2, steps


def test_a_trace_out_of_order_would_be_seen(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    name = "ab" + "0" * 30
    trace.write_text(
        f'7 openat(AT_FDCWD</n>, "/n/spool/objects/ab/{name}", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600) = 5\n'
        f"7 fdatasync(5</n/spool/objects/ab/{name}>) = 0\n"
        '8 fdatasync(9</n/ledger.sqlite-wal> <unfinished ...>\n7 sendto(4<TCP>, "\\4\\0\\0\\0"..., 9) = 9\n'
        "8 <... fdatasync resumed>) = 0\n7 fsync(6</n/spool/objects/ab>) = 0\n"
        f"7 fdatasync(5</n/spool/objects/ab/{name}>) = 0\n"
    )
    assert _steps(_completed(trace)) == ["file-without-name", "response", "commit", "names", "file"]
