"""Every setting with its default and its comment, read from the source that defines it: the one place where they stand.

`chexnode init` writes them; `python -m dicom_node.cli.reference` prints docs/configuration.md.
"""

import inspect
import json
import re
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pydantic_core import PydanticUndefined

from dicom_node.config import PeerSection, Settings
from dicom_node.precedence import PriorityRule, PrioritySection
from dicom_node.sections import Section

_COMMENT = re.compile(r"^    #: (.*)$")
_FIELD = re.compile(r"^    ([a-z_]+): ")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of one section."""

    key: str
    #: as TOML; empty: it has no default
    default: str
    #: it must be given
    required: bool
    comment: str
    #: what it may be, where that is a short list
    choices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SectionReference:
    """One table of the TOML file."""

    name: str
    comment: str
    settings: tuple[Setting, ...]
    #: there may be any number of it, each under [[name]]
    repeated: bool

    @property
    def header(self) -> str:
        """As it stands in the file."""
        return f"[[{self.name}]]" if self.repeated else f"[{self.name}]"


def sections() -> tuple[SectionReference, ...]:
    """Every section of the configuration, in the order of the file; the last one is [[peers]]."""
    tables: list[SectionReference] = []
    for name, field in Settings.model_fields.items():
        if isinstance(table := field.annotation, type) and issubclass(table, Section):
            tables.append(_section(name, table))
            if table is PrioritySection:
                tables.append(_section(f"{name}.rules", PriorityRule, repeated=True))
    return (*tables, _section("peers", PeerSection, repeated=True))


def toml(value: object) -> str:
    """`value` as a TOML value; JSON's strings and lists are TOML's too."""
    if isinstance(value, tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)


def _section(name: str, table: type[Section], *, repeated: bool = False) -> SectionReference:
    comments = dict(_comments(inspect.getsource(table)))
    return SectionReference(
        name=name,
        repeated=repeated,
        comment=inspect.getdoc(table) or "",
        settings=tuple(
            Setting(
                key=key,
                default="" if field.default in (None, PydanticUndefined) else toml(field.default),
                required=field.is_required(),
                comment=comments.get(key, ""),
                choices=tuple(_choices(field.annotation)),
            )
            for key, field in table.model_fields.items()
        ),
    )


def _comments(source: str) -> Iterator[tuple[str, str]]:
    """(key, comment) of each field whose lines directly above begin with `#:`."""
    above: list[str] = []
    for line in source.splitlines():
        if comment := _COMMENT.match(line):
            above.append(comment[1])
            continue
        if (field := _FIELD.match(line)) and above:
            yield field[1], " ".join(above)
        above = []


def _choices(annotation: object) -> Iterator[str]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (str(member.value) for member in annotation)
    elif typing.get_origin(annotation) is typing.Literal:
        yield from map(str, typing.get_args(annotation))
    else:
        for inner in typing.get_args(annotation):
            yield from _choices(inner)


def markdown() -> str:
    """docs/configuration.md."""
    lines = [
        "# Every setting",
        "",
        "Made from the source by `python -m dicom_node.cli.reference`; a test holds it equal.",
        "",
        "`chexnode init` writes `chexnode.toml` with all of them. The environment wins over the file:",
        "`CHEXNODE_RECEIVE__PORT=11113` is `port` of `[receive]`. A setting that is unknown or makes no sense stops",
        "the node at start, and the message names the key.",
    ]
    for section in sections():
        lines += ["", f"## {section.header}", "", section.comment, ""]
        lines += ["| setting | default | what it is |", "|---|---|---|"]
        lines += [
            f"| `{s.key}` | {'must be given' if s.required else f'`{s.default}`' if s.default else 'none'} "
            f"| {s.comment.replace('|', '&#124;')}{_one_of(s)} |"
            for s in section.settings
        ]
    return "\n".join(lines) + "\n"


def _one_of(setting: Setting) -> str:
    return f" (one of {', '.join(f'`{choice}`' for choice in setting.choices)})" if setting.choices else ""


if __name__ == "__main__":
    sys.stdout.write(markdown())
