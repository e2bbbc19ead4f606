"""structures <- mocap, data, modeling, evaluation, checkpoint, which never import each other; what uses them, above."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lcrnet_d2

PACKAGE = Path(lcrnet_d2.__file__).parent
ROOMS = {"structures", "mocap", "data", "modeling", "evaluation", "checkpoint"}
PEOPLE = {"structures", "detected_people", "placement"}
#: What a room may import besides itself; the top level (engine, predictor, ...) may import everything.
MAY_IMPORT = {
    "structures": set(),
    **{room: {"structures"} for room in ROOMS - {"structures"}},
    "visualization": PEOPLE,
    "video": PEOPLE,
    "outputs": PEOPLE | {"visualization", "mocap"},
    "training": ROOMS | PEOPLE | {"visualization"},
}


def imported_rooms(file: Path) -> set[str]:
    """First names below lcrnet_d2 that a module imports, relative imports resolved."""
    here = ("lcrnet_d2", *file.relative_to(PACKAGE).parts[:-1])
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = list(here[: len(here) - node.level + 1]) if node.level else []
            names.append(start + (node.module or "").split("."))
    return {name[1] for name in names if name[0] == "lcrnet_d2" and len(name) > 1 and name[1]}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_rooms_import_only_what_is_below_them(room: str) -> None:
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    for file in files:
        forbidden = imported_rooms(file) - MAY_IMPORT[room] - {room}
        assert not forbidden, f"{file.relative_to(PACKAGE)} imports {sorted(forbidden)}"
