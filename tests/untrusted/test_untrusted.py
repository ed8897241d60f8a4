"""Strangers' bytes, the whole way: each is refused by a named status, set aside for a reason, or read."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRBigEndian

from dicom_node.dimse.status import Status
from dicom_node.domain import Reason
from tests import datasets
from tests.untrusted.corpus import FOLDER, FOUND, Case, cases
from tests.untrusted.mutate import CHANGES, Change, changed
from tests.untrusted.way import LIMITS, Way, film

#: all that may become of a data set
NAMES = {"read", *(status.name for status in Status), *(reason.value for reason in Reason)}
FILMS = {str(syntax): film(syntax) for syntax in datasets.TRANSFER_SYNTAXES}
#: how many are tried; more by night: CHEXNODE_MUTATIONS=20000
MUTATIONS = int(os.environ.get("CHEXNODE_MUTATIONS", "150"))
# pydicom warns of values; the node's processes ignore warnings, pytest makes them errors
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    with Way() as way:
        yield way


@pytest.mark.parametrize("syntax", FILMS)
def test_unchanged_it_is_read(way: Way, syntax: str) -> None:
    assert way.go(FILMS[syntax], syntax).name == "read"


@settings(max_examples=MUTATIONS)
@given(syntax=st.sampled_from(sorted(FILMS)), changes=CHANGES)
def test_changed_it_is_answered_by_name(way: Way, syntax: str, changes: list[Change]) -> None:
    """Whatever fails is left in the corpus as found.bin, for somebody to name it and say what must become of it."""
    data = changed(FILMS[syntax], changes, big=syntax == ExplicitVRBigEndian)
    try:
        assert way.go(data, syntax).name in NAMES
        assert _peak(way.decoder.pid) < LIMITS.decode_memory
    except BaseException:
        FOUND.write_bytes(data)
        raise


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_corpus(way: Way, case: Case) -> None:
    assert way.go(case.data, case.syntax).name == case.becomes
    assert way.go(FILMS[case.syntax], case.syntax).name == "read", "whoever comes after it is read"


def test_every_file_of_the_corpus_is_named() -> None:
    """found.bin is not: a mutation that failed waits for its name (tests/untrusted/corpus.py, keep)."""
    named = {f"{case.name}.bin" for case in cases()}
    assert {path.name for path in FOLDER.iterdir()} == named | {"index.json", "README.md"}
    assert {case.becomes for case in cases()} <= NAMES


def _peak(pid: int) -> int:
    """The most memory that a process has had in use, bytes; 0 where it is gone: at its limit it was ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
