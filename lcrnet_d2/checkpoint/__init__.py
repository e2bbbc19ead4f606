"""Weights: our checkpoints, published ones, and converters of others' networks.

Importing `catalogue` from here registers lcrnet://; the names below are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalogue import LCRNET_WEIGHTS
    from .checkpointer import BEST_CHECKPOINT, LCRNetCheckpointer, without_wrapper

__all__ = [
    "BEST_CHECKPOINT",
    "LCRNET_WEIGHTS",
    "LCRNetCheckpointer",
    "without_wrapper",
]

_LOADED_ON_USE = {
    "BEST_CHECKPOINT": "checkpointer",
    "LCRNET_WEIGHTS": "catalogue",
    "LCRNetCheckpointer": "checkpointer",
    "without_wrapper": "checkpointer",
}


def __getattr__(name: str) -> Any:
    if name in _LOADED_ON_USE:
        return getattr(import_module(f".{_LOADED_ON_USE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
