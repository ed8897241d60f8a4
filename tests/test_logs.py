"""Logs: one line of JSON an event, the role in it, keyed hashes instead of identifiers, errors without values."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

from dicom_node.logs import hashed, load_key

_SCRIPT = """
import logging, sys, threading, warnings
import structlog
from pathlib import Path
from dicom_node import logs
from dicom_node.config import NodeSection
from dicom_node.errors import PeerUnavailable
logs.configure(NodeSection(folder=Path(sys.argv[1]), log_level="info"), "receive")
log = structlog.get_logger("x")
log.debug("quiet")
thread = threading.Thread(target=lambda: log.info("kept", instance=logs.hashed("1.2.3")))
thread.start(); thread.join()
for error in (ValueError("Probe^Petra"), PeerUnavailable("PACS does not answer")):
    try:
        raise error
    except Exception:
        log.exception("failed")
warnings.warn("Probe^Petra is no PN")
logging.getLogger("pydicom").error("Probe^Petra")
logging.getLogger("pynetdicom.acse").error("Probe^Petra")
"""


def test_a_process_of_the_node(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path / "node")], check=True, capture_output=True, text=True
    )
    assert run.stdout == ""
    assert "Petra" not in run.stderr
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    assert [line["event"] for line in lines] == ["kept", "failed", "failed"]
    assert {line["role"] for line in lines} == {"receive"}
    assert lines[0]["instance"] == hashed("1.2.3", key=load_key(tmp_path / "node"))
    assert (lines[1]["error_type"], "error" in lines[1]) == ("ValueError", False)
    assert (lines[2]["error_type"], lines[2]["error"]) == ("PeerUnavailable", "PACS does not answer")
    assert all(line["frames"] for line in lines[1:])


def test_the_key_is_made_once_and_is_the_owner_s(tmp_path: Path) -> None:
    key = load_key(tmp_path)
    assert load_key(tmp_path) == key
    assert len(key) == 32
    assert [path.name for path in tmp_path.iterdir()] == ["log.key"]
    assert stat.S_IMODE((tmp_path / "log.key").stat().st_mode) == 0o600


def test_a_hash_says_nothing_without_the_key(tmp_path: Path) -> None:
    one, other = os.urandom(32), os.urandom(32)
    assert hashed("1.2.3", key=one) == hashed("1.2.3", key=one) != hashed("1.2.3", key=other)
    assert len(hashed("1.2.3", key=one)) == 12
