"""docs/quick_look.ipynb: what its cells do, run without Jupyter."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def cells() -> list[str]:
    """The sources of the code cells."""
    notebook = json.loads((DOCS / "quick_look.ipynb").read_text())
    assert notebook["nbformat"] == 4
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown(source: str) -> tuple[Any, dict[str, Any]]:
    """What Jupyter shows below a cell, the value of its last expression, and its variables."""
    body = ast.parse(source).body
    last = body.pop()
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {}
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names), names


def test_what_the_first_cell_installs_is_there(cells: list[str]) -> None:
    assert "sys.executable" in cells[0] and cells[0].startswith("import sys")
    named = re.findall(r"\.\.[/\w.]*", cells[0])
    assert named == ["../requirements.txt", "../tools/install_detectron2.sh", ".."]
    assert all((DOCS / path).exists() for path in named)


def test_the_second_cell_shows_the_people_of_a_photo(cells: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS)  # where Jupyter runs it
    picture, names = shown(cells[1])
    people = names["people"]
    assert len(people.scores) > 0 and people.poses_3d.shape[1:] == (13, 3)
    assert isinstance(picture, Image.Image)
    with Image.open(DOCS / names["photo"]) as photo:
        assert picture.width > 2 * photo.width  # the photo and two views in 3D
    assert len(picture.getcolors(picture.width * picture.height) or ()) > 1000
