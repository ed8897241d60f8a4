"""The unit's sandbox, held against what the node does: a traced run asks for nothing that it refuses."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from tests import datasets
from tests.peers import association, free_port, program
from tests.waiting import wait_for

UNIT = Path(__file__).parents[2] / "deploy" / "chexnode.service"
#: calls that are many, and in every set that a unit could allow
_PLAIN = (
    "read,write,readv,writev,pread64,pwrite64,lseek,fstat,newfstatat,stat,lstat,close,munmap,brk,futex,poll,madvise,"
    "rt_sigaction,rt_sigprocmask,readlink,getdents64,clock_gettime,recvfrom,sendto,sched_yield"
)
#: SQLite gives a file that it makes to the folder's owner, but only where it runs as root, as the unit never does
_ONLY_OF_ROOT = {"fchown"}
CONFIGURATION = """
[node]
folder = "{folder}/data"
[receive]
port = {port}
low_watermark = 0
[conclude]
quiet_period = 0.1
[[peers]]
name = "archive"
ae_title = "SENDER"
host = "127.0.0.1"
port = 1
sends = true
results_to = ["archive"]
mode = "hold"
"""


def analyse_tool() -> str:
    path = shutil.which("systemd-analyze")
    if path is None:
        pytest.skip("systemd-analyze is not installed: apt-get install -y --no-install-recommends systemd")
    return path


def directives(name: str) -> list[str]:
    """The values of a directive, one for each line of it."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


@pytest.fixture
def unit_here(tmp_path: Path) -> Path:
    """The unit with this environment's program in the place of the installed one."""
    text = UNIT.read_text()
    started = directives("ExecStart")[0].split()[0]
    path = tmp_path / "chexnode.service"
    path.write_text(text.replace(started, str(Path(sys.executable).with_name("chexnode"))))
    return path


def test_systemd_finds_nothing_to_say(unit_here: Path) -> None:
    done = subprocess.run(
        [analyse_tool(), "verify", "--man=no", str(unit_here)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr.replace(str(unit_here), "")) == (0, "")


def test_systemd_rates_the_sandbox_as_tight(unit_here: Path) -> None:
    rated = [analyse_tool(), "security", "--no-pager", "--offline=true", "--threshold=15", str(unit_here)]
    done = subprocess.run(rated, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout[-300:]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a node asked of the kernel, from its start over one analysed film to its end."""

    folder: Path
    lines: list[str]
    log: str

    def arguments(self, *calls: str) -> Iterator[tuple[str, str]]:
        """(call, its arguments) of each of these calls, of all where none is named."""
        for line in self.lines:
            found = re.match(r"\d+\s+(\w+)\((.*)$", line)
            if found and (not calls or found[1] in calls):
                yield found[1], found[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("traced")
    trace, log, port = folder / "trace", folder / "log", free_port()
    configuration = folder / "chexnode.toml"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port))
    traced = [program("strace"), "-f", "-qq", "--seccomp-bpf", "-e", "signal=none", "-o", str(trace)]
    traced += ["-e", f"trace=!{_PLAIN}"]
    if subprocess.run([*traced, "true"], check=False, capture_output=True).returncode:
        pytest.skip("strace may not trace here: run where ptrace is allowed (--cap-add SYS_PTRACE)")
    serve = [sys.executable, "-m", "dicom_node", "serve", "--config", str(configuration)]
    with (
        log.open("wb") as output,
        subprocess.Popen([*traced, *serve], stderr=output, start_new_session=True) as process,
    ):
        try:
            _one_film(port, log)
        finally:
            # strace passes nothing on: what it traces is told itself
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            subprocess.run(["kill", "-TERM", *children], check=False)
            process.wait(60)
    return Run(folder=folder, lines=trace.read_text(errors="replace").splitlines(), log=log.read_text())


def _one_film(port: int, log: Path) -> None:
    wait_for("the receiver", lambda: "listening" in log.read_text(), seconds=120)
    film = datasets.chest(256, 256)
    with association(port, (film.SOPClassUID, ExplicitVRLittleEndian), seconds=60) as sender:
        assert sender.send_c_store(film).Status == 0x0000
    wait_for("the study to be concluded", lambda: '"concluded"' in log.read_text(), seconds=120)


def _members(name: str) -> set[str]:
    """The system calls of one of systemd's sets, or the call itself."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(
        [analyse_tool(), "--no-pager", "syscall-filter", name], capture_output=True, text=True, check=True, timeout=60
    )
    lines = (line.strip() for line in listed.stdout.splitlines()[1:])
    return set().union(*(_members(line) for line in lines if line and not line.startswith("#")))


def test_the_model_looked_at_the_film(run: Run) -> None:
    assert '"model ready"' in run.log
    assert "looks_unlike_a_frontal_chest" in run.log, "this drawing is declined by the gate, once the model has run"


def test_no_system_call_is_refused(run: Run) -> None:
    allowed: set[str] = set()
    for value in directives("SystemCallFilter"):
        members = set().union(*(_members(name) for name in value.lstrip("~").split()))
        allowed = allowed - members if value.startswith("~") else allowed | members
    used = {call for call, _ in run.arguments()}
    assert {"execve", "socket", "mmap"} <= used
    assert used - allowed <= _ONLY_OF_ROOT


def test_no_socket_of_a_family_that_is_refused(run: Run) -> None:
    used = {family for _, said in run.arguments("socket", "socketpair") for family in re.findall(r"^AF_\w+", said)}
    assert "AF_UNIX" in used
    assert used <= set(directives("RestrictAddressFamilies")[0].split())


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="the extra onnx is not installed")
def test_with_onnx_runtime_no_memory_is_written_and_executed(run: Run) -> None:
    """So MemoryDenyWriteExecute may be set, as the manual says; torch maps such memory, and the unit leaves it out."""
    mapped = [said for _, said in run.arguments("mmap", "mprotect") if "PROT_EXEC" in said]
    assert mapped
    assert directives("MemoryDenyWriteExecute") == []
    assert [said for said in mapped if "PROT_WRITE" in said] == []


def test_nothing_is_written_outside_its_folders(run: Run) -> None:
    """Under ProtectSystem=strict such an open would fail."""
    written: set[str] = set()
    for _, said in run.arguments("openat", "open", "creat"):
        path = re.search(r'"([^"]*)"', said)
        if path and re.search("O_WRONLY|O_RDWR|O_CREAT", said) and " = -1" not in said:
            written.add(path[1])
    inside = {path for path in written if path.startswith(str(run.folder))}
    assert inside
    assert written - inside <= {"/dev/null"}


def test_nothing_is_told_to_strangers(run: Run) -> None:
    """ONNX Runtime is: its telemetry begins with a file in the home folder, and asks for its makers' host later."""
    called = [said for _, said in run.arguments("connect") if said.find("AF_INET") > 0]
    assert [said for said in called if "127.0.0.1" not in said] == []
    assert [said for _, said in run.arguments("openat", "mkdir") if "/Microsoft/" in said] == []


def test_container_and_service_agree() -> None:
    """The same program, the same configuration, the same folders, the same time to drain."""
    folder = UNIT.parent
    docker, compose = (folder / "Dockerfile").read_text(), (folder / "compose.yaml").read_text()
    command = directives("ExecStart")[0].split()
    assert f'CMD ["{command[1]}", "--config", "{command[3]}"]' in docker
    assert f"{Path(command[0]).parent}:$PATH" in docker
    assert directives("WorkingDirectory")[0] in docker
    assert f"stop_grace_period: {directives('TimeoutStopSec')[0]}s" in compose
    assert f"pids_limit: {directives('TasksMax')[0]}" in compose
    assert f"nofile: {directives('LimitNOFILE')[0]}" in compose
    user = re.findall(r"--uid (\d+)", docker)[0]
    assert f'user: "{user}:{user}"' in compose
    for line in ("read_only: true", "cap_drop: [ALL]", "no-new-privileges:true", "core: 0"):
        assert line in compose


def _kinds() -> Any:
    """What `COPY` takes, each of which the ignore file must let in."""
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (UNIT.parent / "Dockerfile").read_text(), re.MULTILINE)
    return sorted({name for line in copied for name in line.split()})


@pytest.mark.parametrize("name", _kinds())
def test_the_image_is_made_of_what_is_there(name: str) -> None:
    ignored = (UNIT.parent / "Dockerfile.dockerignore").read_text().splitlines()
    assert f"!{name}" in ignored
    assert (UNIT.parents[1] / name).exists()
