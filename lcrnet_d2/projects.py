"""Modules beside this package that a command is told to import (`--import MODULE`), such as those of projects/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

__all__ = ["add_import_argument", "import_project", "import_projects"]

#: The projects of a checkout; an installed package has none.
PROJECTS = Path(__file__).parent.parent / "projects"


def import_project(module: str) -> ModuleType:
    """Imports a module that registers parts of a network, of a project of the checkout or any other on sys.path.

    Raises:
        ValueError: no such module.
    """
    name = module.partition(".")[0]
    if (PROJECTS / name / name).is_dir() and find_spec(name) is None:
        sys.path.append(str(PROJECTS / name))
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise
        raise ValueError(
            f"no module {error.name!r} to import: it is neither on PYTHONPATH nor, as in a checkout, in {PROJECTS}"
        ) from error


def import_projects(modules: Iterable[str]) -> None:
    """Imports each by `import_project`."""
    for module in modules:
        import_project(module)


def add_import_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--import MODULE`, which may be given several times: `args.imports` is the list for `import_projects`."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="import this first, such as released_models of projects/, for a config that needs it",
    )
