"""structures <- mocap, data, modeling, evaluation, checkpoint, which never import each other; what uses them, above.

Above the package: tools and datasets; then projects, none of which imports another; then dev.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lcrnet_d2

PACKAGE = Path(lcrnet_d2.__file__).parent
ROOT = PACKAGE.parent
ROOMS = {"structures", "mocap", "data", "modeling", "evaluation", "checkpoint"}
PEOPLE = {"structures", "detected_people", "placement"}
#: What a room may import besides itself; the top level (engine, predictor, ...) may import everything.
MAY_IMPORT = {
    "structures": set(),
    **{room: {"structures"} for room in ROOMS - {"structures"}},
    "visualization": PEOPLE,
    "video": PEOPLE,
    "outputs": PEOPLE | {"visualization"},
    "training": ROOMS | PEOPLE | {"visualization"},
}
#: Folders beside the package and what their code may import besides the package and itself.
BESIDE: dict[str, set[str]] = {
    "lcrnet_d2": set(),
    "tools": set(),
    "datasets": set(),
    "projects/rendered_scenes": {"datasets"},  # reads motion capture
    "projects/reproduction": set(),
    "projects/released_models": set(),
    "dev": {"tools", "datasets"},
}


def imports(file: Path, here: tuple[str, ...] = ()) -> list[list[str]]:
    """The dotted names that a module imports, relative imports resolved from the package `here`."""
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = list(here[: len(here) - node.level + 1]) if node.level else []
            names.append(start + (node.module or "").split("."))
    return names


def imported_rooms(file: Path) -> set[str]:
    """First names below lcrnet_d2 that a module imports."""
    here = ("lcrnet_d2", *file.relative_to(PACKAGE).parts[:-1])
    return {name[1] for name in imports(file, here) if name[0] == "lcrnet_d2" and len(name) > 1 and name[1]}


def modules_of(folder: str) -> set[str]:
    """Names that a folder's files and packages are imported by."""
    return {path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_rooms_import_only_what_is_below_them(room: str) -> None:
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    for file in files:
        forbidden = imported_rooms(file) - MAY_IMPORT[room] - {room}
        assert not forbidden, f"{file.relative_to(PACKAGE)} imports {sorted(forbidden)}"


@pytest.mark.parametrize("folder", sorted(BESIDE))
def test_nothing_imports_what_stands_beside_or_above_it(folder: str) -> None:
    others = set(BESIDE) - BESIDE[folder] - {folder, "lcrnet_d2"}
    names = {name: other for other in others for name in modules_of(other)}
    files = [file for file in (ROOT / folder).rglob("*.py") if "tests" not in file.relative_to(ROOT).parts]
    assert files
    for file in files:
        forbidden = {name[0]: names[name[0]] for name in imports(file) if name[0] in names}
        assert not forbidden, f"{file.relative_to(ROOT)} imports {forbidden}"
