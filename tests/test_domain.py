"""The transition table is whole: every state has a row, every move leads to a state that has one."""

from enum import StrEnum
from pathlib import Path

import pytest

from dicom_node.domain import JOB_ENDED, TRANSITIONS, JobState, Reason


@pytest.mark.parametrize("noun", TRANSITIONS)
def test_every_state_has_a_row_and_stays_within_its_noun(noun: type[StrEnum]) -> None:
    table = TRANSITIONS[noun]
    assert set(table) == set(noun)
    for targets in table.values():
        assert all(type(target) is noun for target in targets)


def test_a_job_that_ended_is_only_moved_by_an_operator_or_a_rejection() -> None:
    for state in JOB_ENDED:
        assert TRANSITIONS[JobState][state] <= {JobState.QUEUED, JobState.DECLINED}


def test_every_reason_is_explained_to_who_runs_the_node() -> None:
    explained = (Path(__file__).parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    assert [reason for reason in Reason if f"`{reason.value}`" not in explained] == []
