"""What the statement says of Storage Commitment is what the code knows, and what a configured node is told to do."""

from pathlib import Path

from dicom_node.conformance import statement
from dicom_node.dimse.commitment import FailureReason, ResponseStatus
from model.weights import read_manifest
from tests.conformance.conftest import rows
from tests.deliver.node import peer, sender, settings_of


def test_every_status_and_failure_reason_is_stated(text: str) -> None:
    assert {row[0] for row in rows(text, "7.5")} == {f"{status:04X}" for status in ResponseStatus}
    section = text[text.index("### 7.5") :].partition("\n## ")[0]
    assert all(f"| {reason:04X} |" in section for reason in FailureReason)


def test_who_is_asked_and_who_may_ask_is_named(tmp_path: Path) -> None:
    asking = sender("MODALITY", "archive") | {"host": "10.1.1.7", "port": 11113, "asks_commitment": True}
    committing = peer("archive") | {"commitment": True, "commitment_timeout": 900}
    text = statement(settings_of(tmp_path, asking, committing), read_manifest())
    assert "| `archive` | 900 |" in text
    assert "| `modality` | 10.1.1.7:11113 |" in text
