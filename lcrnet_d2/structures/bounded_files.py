"""Reads files that may come from anyone: nothing in them is run, and no memory is taken for what they only claim.

Each reader raises ValueError, with the file's name, whatever is wrong with the file (FileNotFoundError where there is
none); their callers add what the content should have been.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

__all__ = ["check_mat", "instead_of", "load_mat", "read_h5", "read_json", "read_npz", "refused"]

#: COCO's keypoint annotations are 250 MB, those of all of Human3.6M's frames 4 GB. Parsed, JSON takes up to 20 times
#: its size.
_MAX_JSON_BYTES = 4 * 2**30
#: A compressed file may unpack to this many times its size, and at least to the second number: pictures' joints are
#: packed to a half or a third, long runs of zeros to a thousandth.
_MAX_RATIO, _ALWAYS_ALLOWED = 100, 64 * 2**20
_MAX_MAT_BYTES = 2 * 2**30

#: What readers of damaged files raise beside ValueError; MemoryError, as a claim of petabytes is refused that way.
_FILE_ERRORS = (
    *(OSError, EOFError, KeyError, TypeError, IndexError, OverflowError, MemoryError, RecursionError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error, SyntaxError, AttributeError),
)


@contextmanager
def refused(path: str | Path, kind: str) -> Iterator[None]:
    """Turns whatever reading a damaged file raises into a ValueError that names the file and what it should be."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file at {path}")
    try:
        yield
    except (*_FILE_ERRORS, ValueError) as error:
        raise ValueError(f"{path} is not {kind}: {instead_of(path) or error or type(error).__name__}") from error


def instead_of(path: str | Path) -> str:
    """What often stands in the place of a file that cannot be read, and what to do; "" if it is none of these."""
    with Path(path).open("rb") as file:
        head = file.read(200).lstrip()
    if not head:
        return "the file is empty (0 bytes)"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file itself: `git lfs pull` fetches that"
    if head.lower().startswith((b"<!doctype html", b"<html")):
        return "it is a web page, not the file itself: open it in a browser to see why, and download again"
    return ""


def read_json(path: str | Path, max_bytes: int = _MAX_JSON_BYTES) -> Any:
    """The content of a JSON file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: larger than `max_bytes`, cut, no UTF-8, nested a thousand deep, numbers of thousands of digits.
    """
    with refused(path, "a whole JSON file"):
        _check_bytes(Path(path).stat().st_size, max_bytes)
        return json.loads(Path(path).read_bytes())


def read_npz(
    path: str | Path, names: Sequence[str], max_bytes: int, optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Arrays of an .npz, the `optional` ones if they are there.

    What an array's header claims must be what its file in the archive holds.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no .npz, damaged, an array missing, arrays of objects (pickles), more than `max_bytes` or more
            than a hundred times the file's size.
    """
    with refused(path, f"an .npz with {', '.join(names)}"), zipfile.ZipFile(path) as archive:
        there = [name for name in optional if f"{name}.npy" in archive.namelist()]
        members = {name: archive.getinfo(f"{name}.npy") for name in (*names, *there)}
        unpacked = sum(member.file_size for member in members.values())
        _check_bytes(unpacked, min(max_bytes, _unpacked_limit(Path(path).stat().st_size)))
        return {name: _read_array(archive, name, member) for name, member in members.items()}


def _read_array(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, _, dtype = read_header[version](file)
        if dtype.hasobject:
            raise ValueError(f"{name} is an array of objects, a pickle")
        claimed = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or claimed != member.file_size - file.tell():
            raise ValueError(f"{name} claims {shape} of {dtype}, {claimed} bytes, and holds another number of them")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def read_h5(path: str | Path, names: Sequence[str], max_bytes: int = 2 * 2**30) -> dict[str, np.ndarray]:
    """Arrays of an HDF5 file: only what lies in the file itself.

    Raises:
        ImportError: h5py is not installed.
        FileNotFoundError: no such file.
        ValueError: no HDF5 file, damaged, an array missing, larger together than `max_bytes` (an HDF5 file of a
            kilobyte may claim terabytes of a fill value), or kept in another file.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("reading .h5 files needs h5py: pip install h5py") from error
    with refused(path, f"a whole HDF5 file with {', '.join(names)}"), h5py.File(path, "r") as file:
        for name in names:
            parts = name.split("/")
            for end in range(1, len(parts) + 1):
                if not isinstance(file.get("/".join(parts[:end]), getlink=True), h5py.HardLink):
                    raise ValueError(f"{name} is missing or a link")
        arrays: dict[str, Any] = {name: file[name] for name in names}
        for name, array in arrays.items():
            if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
                raise ValueError(f"{name} is no array of this file")
        _check_bytes(sum(array.nbytes for array in arrays.values()), max_bytes)
        return {name: np.asarray(array) for name, array in arrays.items()}


def load_mat(path: str | Path, **options: bool) -> dict[str, Any]:
    """Variables of a Matlab file, by scipy's `loadmat` with these options.

    Raises:
        FileNotFoundError: no such file.
        ValueError: see `check_mat`; damaged otherwise.
    """
    check_mat(path)
    from scipy.io import loadmat

    try:
        return loadmat(str(path), **options)
    except Exception as error:  # scipy raises whatever its parser trips over: struct, zlib, type errors ...
        raise ValueError(f"{path} is not a whole Matlab file: {error!r}") from error


def check_mat(path: str | Path, max_bytes: int = _MAX_MAT_BYTES) -> None:
    """Refuses a Matlab file (version 5 to 7) that unpacks to more than `max_bytes`, before scipy reads it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: too large, or its parts are not as long as they say.
    """
    with refused(path, "a whole Matlab file"), Path(path).open("rb") as file:
        size = Path(path).stat().st_size
        header = file.read(128)
        order = {b"IM": "<", b"MI": ">"}.get(header[126:])
        if order is None:
            raise ValueError("no header of version 5 or 7")
        limit, unpacked = min(max_bytes, _unpacked_limit(size)), 0
        while tag := file.read(8):
            kind, length = struct.unpack(order + "II", tag)
            if length > size - file.tell():
                raise ValueError(f"a part of {length} bytes, {size - file.tell()} are left")
            compressed = kind == 15  # miCOMPRESSED
            unpacked += _unpacked_bytes(file, length, limit - unpacked) if compressed else length
            _check_bytes(unpacked, limit)
            if not compressed:
                file.seek(length, 1)


def _unpacked_bytes(file: BinaryIO, length: int, limit: int) -> int:
    """Of a zlib stream of `length` bytes; stops counting above `limit`."""
    stream, count = zlib.decompressobj(), 0
    rest = file.read(length)
    while rest and count <= limit:
        count += len(stream.decompress(rest, 2**20))
        rest = stream.unconsumed_tail
    return count


def _unpacked_limit(packed: int) -> int:
    return max(_ALWAYS_ALLOWED, _MAX_RATIO * packed)


def _check_bytes(count: int, limit: int) -> None:
    if count > limit:
        raise ValueError(f"it takes {count / 1e6:.0f} MB, at most {limit / 1e6:.0f} MB are read")
