"""Law 3: move() alone changes a state, and alone writes an event."""

import ast
from pathlib import Path

import dicom_node

ROOT = Path(dicom_node.__file__).parent
MOVE = ROOT / "ledger" / "move.py"


def _sources() -> list[Path]:
    return [path for path in ROOT.rglob("*.py") if "migrations" not in path.parts]


def _calls(path: Path, name: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Attribute) and node.func.attr == name)
            or (isinstance(node.func, ast.Name) and node.func.id == name)
        )
    ]


def _sets_state(path: Path) -> bool:
    """There is an update(...)…values(state=…) in it."""
    return any(
        keyword.arg == "state" and any(isinstance(n, ast.Name) and n.id == "update" for n in ast.walk(call))
        for call in _calls(path, "values")
        for keyword in call.keywords
    )


def _writes_events(path: Path) -> bool:
    return any("event" in ast.unparse(argument) for call in _calls(path, "insert") for argument in call.args)


def test_no_one_else_sets_a_state() -> None:
    assert [path for path in _sources() if _sets_state(path)] == [MOVE]


def test_no_one_else_writes_an_event() -> None:
    assert [path for path in _sources() if _writes_events(path)] == [MOVE]


def test_no_one_else_writes_sql_by_hand() -> None:
    """text() could hide what the others forbid: only the schema check, the pragmas and the bell use it."""
    users = {path.name for path in _sources() if "ledger" in path.parts and _calls(path, "text")}
    assert users == {"ledger.py", "bell.py"}


def test_rows_are_deleted_nowhere_but_where_they_are_not_history() -> None:
    """What lives, and what was expected of an archive and did not come: neither ever was a state of anything."""
    users = {path.name for path in _sources() if "ledger" in path.parts and _calls(path, "delete")}
    assert users == {"processes.py", "caught_up.py"}
