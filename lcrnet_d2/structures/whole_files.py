"""Files that appear whole or not at all: whatever kills the writer, a reader finds the former file or the new one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

__all__ = ["partial_path", "save_npz", "short_name", "whole_file", "write_json", "write_text"]

#: Systems take 255 bytes of a name, an encrypted home 143; what is put around a name takes some.
_MAX_NAME_BYTES = 100


def short_name(name: str) -> str:
    """The beginning of a name, short enough for files that are called after it."""
    data = os.fsencode(name)
    return name if len(data) <= _MAX_NAME_BYTES else data[:_MAX_NAME_BYTES].decode(errors="ignore")


def partial_path(path: str | Path) -> Path:
    """Where a file is written until it is whole. Always the same name, so that killed writers leave at most one."""
    path = Path(path)
    return path.with_name(f"{path.name}.part")


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write to, under a temporary name; on success it takes its name, on an error it vanishes.

    It is on the disk before it is renamed, and so is the renaming before this returns: a machine that loses its
    power keeps the order too. One writer at a time per path.

    Raises:
        OSError: no folder, no space; names the file, and the former one is as it was.
    """
    target, partial = Path(path), partial_path(path)
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # of writing, unlike of opening
            error.filename = str(target)
        raise
    _sync_folder(target.parent)


def write_text(path: str | Path, text: str) -> None:
    """UTF-8, whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode())


def write_json(path: str | Path, content: Any, indent: int | None = None) -> None:
    """JSON, whole or not at all; NaN and infinity as Python writes them."""
    write_text(path, json.dumps(content, indent=indent))


def save_npz(path: str | Path, **arrays: Any) -> None:
    """numpy's compressed .npz, whole or not at all. Unlike numpy's it takes the name as it is, without adding .npz.

    Raises:
        ValueError: an array of objects, which would be pickled.
    """
    for name, value in arrays.items():
        if np.asarray(value).dtype.hasobject:
            raise ValueError(f"{path}: {name} is an array of objects; only numbers and text are saved")
    with whole_file(path) as file:
        np.savez_compressed(file, **arrays)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows has no handle on a folder; its renames are journalled
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
