"""The stored corpus: what was once found to go wrong, or is known to, and what must become of each."""

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "corpus"
#: what must become of each, by name of its file
INDEX = FOLDER / "index.json"
#: where a mutation that failed is left, as small as hypothesis could make it
FOUND = FOLDER / "found.bin"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One data set of the corpus, as it is received: no preamble, no file meta information."""

    name: str
    #: the transfer syntax that was negotiated for it
    syntax: str
    #: a named status that refuses it, a reason that it is not read for, or `read`
    becomes: str
    #: what is wrong with it, or what went wrong once
    why: str

    @property
    def data(self) -> bytes:
        return (FOLDER / f"{self.name}.bin").read_bytes()


def cases() -> list[Case]:
    """All of them, in the order of the index."""
    return [Case(name=name, **told) for name, told in json.loads(INDEX.read_text(encoding="utf-8")).items()]


def keep(case: Case, data: bytes) -> None:
    """Add one to the corpus, or put it in the place of that of its name."""
    index = json.loads(INDEX.read_text(encoding="utf-8")) if INDEX.exists() else {}
    index[case.name] = {"syntax": case.syntax, "becomes": case.becomes, "why": case.why}
    (FOLDER / f"{case.name}.bin").write_bytes(data)
    INDEX.write_text(json.dumps(dict(sorted(index.items())), indent=2) + "\n", encoding="utf-8")
