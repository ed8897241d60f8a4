"""How urgent an image is: by the site's rules, by what was requested, by what its sender asked for, in that order."""

import re

from dicom_node.domain import Head
from dicom_node.precedence import PriorityRule, PrioritySection

#: defined terms of Requested Procedure Priority (0040,1003): PS3.3 C.4.11
_REQUESTED = {"STAT": 2, "HIGH": 1, "ROUTINE": 0, "MEDIUM": 0, "LOW": -1}
#: DIMSE's 0 medium, 1 high, 2 low (PS3.7 9.1.1.1.6) as the ledger sorts it: more is sooner
_DIMSE = {0: 0, 1: 1, 2: -1}


def priority_of(section: PrioritySection, head: Head, *, calling_ae_title: str, dimse: int) -> int:
    """The priority of an image; more is sooner, 0 is routine. `dimse`: Priority (0000,0700) of its C-STORE-RQ."""
    for rule in section.rules:
        if _holds(rule, head, calling_ae_title):
            return rule.priority
    return _REQUESTED.get(head.requested_procedure_priority.upper(), _DIMSE.get(dimse, 0))


def _holds(rule: PriorityRule, head: Head, calling_ae_title: str) -> bool:
    if rule.calling_ae_titles and calling_ae_title not in rule.calling_ae_titles:
        return False
    if rule.requested and head.requested_procedure_priority.upper() not in rule.requested:
        return False
    described = (head.study_description, head.series_description, head.requested_procedure_description)
    return not rule.descriptions or any(
        re.search(pattern, text, re.IGNORECASE) for pattern in rule.descriptions for text in described if text
    )
