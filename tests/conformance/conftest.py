"""The statement of the default configuration, and a receiver to hold it against."""

import pytest

from dicom_node.config import Settings
from dicom_node.conformance import statement
from model.weights import read_manifest
from tests.receive.conftest import Receiver, Start, empty_ledger, receiver, start

__all__ = ["Receiver", "Start", "empty_ledger", "receiver", "start"]


@pytest.fixture(scope="session")
def text() -> str:
    """What docs/conformance.md is to be."""
    return statement(Settings(), read_manifest())


def rows(text: str, under: str) -> list[list[str]]:
    """The cells of the first table under the heading that begins with `under`, its head left out."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.lstrip("#").strip().startswith(under) and line.startswith("#"):
            break
    found: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            found.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
        elif found:
            break
    return found[2:]
