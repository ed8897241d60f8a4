"""How urgent an image is: the first rule that holds, then what was requested, then DIMSE."""

import pytest

from dicom_node.domain import Head
from dicom_node.precedence import PriorityRule, PrioritySection
from dicom_node.receive.priority import priority_of

NO_RULES = PrioritySection()
MEDIUM, HIGH, LOW = 0, 1, 2


def _head(**said: str) -> Head:
    return Head(sop_class_uid="1.2", sop_instance_uid="1.3", study_instance_uid="1.4", **said)


def _priority(section: PrioritySection, *, title: str = "DX1", dimse: int = MEDIUM, **said: str) -> int:
    return priority_of(section, _head(**said), calling_ae_title=title, dimse=dimse)


@pytest.mark.parametrize(
    ("requested", "dimse", "priority"),
    [
        ("", MEDIUM, 0),
        ("", HIGH, 1),
        ("", LOW, -1),
        ("", 7, 0),
        ("STAT", MEDIUM, 2),
        ("STAT", LOW, 2),
        ("stat", MEDIUM, 2),
        ("HIGH", MEDIUM, 1),
        ("ROUTINE", HIGH, 0),
        ("MEDIUM", MEDIUM, 0),
        ("LOW", MEDIUM, -1),
        ("AS SOON AS YOU CAN", HIGH, 1),
    ],
)
def test_without_a_rule_what_was_requested_counts_and_then_dimse(requested: str, dimse: int, priority: int) -> None:
    assert _priority(NO_RULES, dimse=dimse, requested_procedure_priority=requested) == priority


def test_the_first_rule_that_holds_decides() -> None:
    section = PrioritySection(
        rules=(
            PriorityRule(priority=-6, calling_ae_titles=("PRIORS",)),
            PriorityRule(priority=3, calling_ae_titles=("ED1", "ED2"), requested=("stat", "HIGH")),
            PriorityRule(priority=2, calling_ae_titles=("ED1", "ED2")),
            PriorityRule(priority=1, descriptions=(r"\bICU\b", "intensive")),
        )
    )
    assert _priority(section, title="PRIORS", requested_procedure_priority="STAT") == -6
    assert _priority(section, title="ED2", requested_procedure_priority="STAT") == 3
    assert _priority(section, title="ED2", requested_procedure_priority="ROUTINE") == 2
    assert _priority(section, title="ED2", study_description="ICU chest") == 2
    assert _priority(section, study_description="Chest icu bed") == 1
    assert _priority(section, series_description="INTENSIVE care") == 1
    assert _priority(section, requested_procedure_description="chest, ICU") == 1
    assert _priority(section, study_description="DIFFICULT") == 0
    assert _priority(section, requested_procedure_priority="STAT") == 2


def test_an_expression_that_matches_nothing_matches_no_missing_description() -> None:
    section = PrioritySection(rules=(PriorityRule(priority=5, descriptions=(".*",)),))
    assert _priority(section) == 0
    assert _priority(section, study_description="chest") == 5
