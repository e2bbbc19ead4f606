"""Projects of the checkout and other modules, imported by name."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from lcrnet_d2.projects import PROJECTS, add_import_argument, import_project


def test_a_project_of_the_checkout_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if Path(p).parent != PROJECTS])
    for name in [name for name in sys.modules if name.partition(".")[0] == "reproduction"]:
        monkeypatch.delitem(sys.modules, name)
    assert import_project("reproduction.own_figures").has_figure("mpii_single")


def test_another_module_is_imported_as_python_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_backbone.py").write_text("answer = 42")
    monkeypatch.syspath_prepend(tmp_path)
    assert import_project("my_backbone").answer == 42


def test_a_module_that_is_nowhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no module 'no_such_project' to import.*PYTHONPATH"):
        import_project("no_such_project.networks")
    (tmp_path / "needs_more.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        import_project("needs_more")


def test_the_argument_may_be_given_several_times() -> None:
    parser = argparse.ArgumentParser()
    add_import_argument(parser)
    assert parser.parse_args(["--import", "a", "--import", "b.c"]).imports == ["a", "b.c"]
    assert parser.parse_args([]).imports == []
