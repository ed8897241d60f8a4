"""Every setting is explained where people look for it."""

from pathlib import Path

import pytest

from dicom_node.cli.reference import SectionReference, markdown, sections
from dicom_node.config import PeerSection, Settings
from dicom_node.precedence import PriorityRule

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def settings_of_the_code() -> dict[str, set[str]]:
    plain = {
        name: set(type(value).model_fields)
        for name in Settings.model_fields
        if hasattr(value := getattr(Settings(), name), "model_fields_set")
    }
    repeated = {"priority.rules": set(PriorityRule.model_fields), "peers": set(PeerSection.model_fields)}
    return {**plain, **repeated}


def test_reference_has_every_setting_of_the_code() -> None:
    assert {each.name: {s.key for s in each.settings} for each in sections()} == settings_of_the_code()


@pytest.mark.parametrize("section", sections(), ids=lambda each: each.name)
def test_every_setting_and_section_has_a_comment(section: SectionReference) -> None:
    assert section.comment
    assert [s.key for s in section.settings if not s.comment] == []


def test_document_is_what_the_code_says() -> None:
    assert DOCUMENT.read_text() == markdown(), "run: python -m dicom_node.cli.reference > docs/configuration.md"
