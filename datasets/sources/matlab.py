"""Matlab files, read whole or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lcrnet_d2.data.datasets.pose_json import PoseFileError
from lcrnet_d2.structures.bounded_files import load_mat

__all__ = ["read_mat"]


def read_mat(path: Path, squeeze: bool = True) -> dict[str, Any]:
    """Variables of a Matlab file, structs as objects.

    Args:
        squeeze: axes of length 1 are left out, as scipy's `squeeze_me`.

    Raises:
        FileNotFoundError: no such file.
        PoseFileError: cut, or no Matlab file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no annotation file at {path}")
    try:
        return load_mat(path, struct_as_record=False, squeeze_me=squeeze)
    except ValueError as error:
        raise PoseFileError(str(error)) from error
