"""The packages of requirements.txt, imported where they are needed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__all__ = ["require"]


def require(name: str) -> ModuleType:
    """The module `name` of requirements.txt.

    Raises:
        ImportError: it is not installed; says how to install it.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != name.split(".")[0]:
            raise
        raise ImportError(
            f"rendering people needs the package {name!r}: in the checkout, "
            "pip install -r projects/rendered_scenes/requirements.txt"
        ) from error
