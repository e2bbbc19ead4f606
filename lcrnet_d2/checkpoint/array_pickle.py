"""Reads pickles of plain containers and arrays, such as Detectron2's R-50.pkl, without running anything in them."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core import multiarray

__all__ = ["ArrayUnpickler", "load_array_pickle"]

#: What numpy arrays and scalars need to be rebuilt; nothing here calls code of the file's choosing.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{
        (f"numpy.{core}.multiarray", name): getattr(multiarray, name)
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    },
}


class ArrayUnpickler(pickle.Unpickler):
    """Refuses every name in a pickle but those arrays are made of."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}; only arrays and plain containers are read")
        return _ALLOWED[module, name]


def load_array_pickle(path: str | Path) -> dict[str, Any]:
    """The dict in a pickle of arrays.

    Raises:
        ValueError: anything but arrays, numbers, strings and plain containers in it; the message names what.
    """
    try:
        with open(path, "rb") as file:
            data = ArrayUnpickler(file, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, IndexError, KeyError, UnicodeDecodeError, AttributeError) as error:
        raise ValueError(f"refused to read the pickle {path}: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds a {type(data).__name__}, expected a dict of weights")
    return data
