"""Reads pickles of plain containers, arrays and tensors without running anything in them.

Such are Detectron2's R-50.pkl and the published LCR-Net models.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from ..structures.bounded_files import instead_of

__all__ = ["UNREADABLE", "ArrayUnpickler", "load_array_pickle", "load_torch_file", "refuse_memory_bomb"]

#: What readers of pickles and of torch's files raise for files that are cut short, damaged or of another kind.
UNREADABLE = (
    *(pickle.UnpicklingError, EOFError, LookupError, RuntimeError, AttributeError),
    *(ValueError, TypeError, OverflowError, MemoryError, SystemError, AssertionError, zipfile.BadZipFile),
)


def _storage(content: bytes) -> torch.TypedStorage:
    """A tensor's memory, which a plain pickle holds as a file of torch.save inside; torch's own reader would unpickle
    anything in there."""
    storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(storage, torch.storage.TypedStorage):
        raise pickle.UnpicklingError(f"a tensor's memory is a {type(storage).__name__}")
    return storage


class _Kind:
    """Stands for numpy.dtype, whose own state would let the file set flags that numpy trusts: what is a pointer, say.

    Takes kind and byte order alone, of numbers, texts and objects.
    """

    def __init__(self, kind: str, *_: Any) -> None:
        if not isinstance(kind, str) or not re.fullmatch(r"[biufcSU]\d{1,9}|O8?", kind):
            raise pickle.UnpicklingError(f"an array of {kind!r}; only numbers and texts are read")
        self.dtype = np.dtype(kind)

    def __setstate__(self, state: Any) -> None:
        _, order, *fields = state[:5]  # then sizes, which follow from the kind, and flags
        if order not in ("<", ">", "|", "=") or fields != [None] * 3:
            raise pickle.UnpicklingError(f"an array of {self.dtype} in the order {order!r} with the fields {fields}")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array whose state names its kind by the stand-in."""

    def __setstate__(self, state: Any) -> None:
        version, shape, kind, order, content = state
        super().__setstate__((version, shape, _dtype(kind), order, content))


def _dtype(kind: Any) -> np.dtype:
    if not isinstance(kind, _Kind):
        raise pickle.UnpicklingError(f"an array whose kind is a {type(kind).__name__}")
    return kind.dtype


def _empty_array(kind: object, shape: tuple[int, ...], *_: Any) -> np.ndarray:
    """An empty array, as every pickle of one begins; its state brings as many bytes as it claims. A filled one would
    take whatever memory the file asks for."""
    if kind is not _NDARRAY or shape != (0,):
        raise pickle.UnpicklingError(f"an array that begins with the shape {shape}")
    return np.empty(0, np.uint8).view(_Array)


def _scalar(kind: _Kind, content: bytes | str) -> Any:
    dtype = _dtype(kind)
    data = content.encode("latin1") if isinstance(content, str) else content
    if dtype.hasobject or len(data) != dtype.itemsize:
        raise pickle.UnpicklingError(f"a number of {dtype} in {len(data)} bytes")
    return np.frombuffer(data, dtype)[0]


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> torch.Tensor:
    """A view of the memory; torch's own function would enlarge it to whatever sizes the file claims."""
    flat = torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage)
    if len(size) != len(stride) or offset < 0 or any(number < 0 for number in (*size, *stride)):
        raise pickle.UnpicklingError(f"a tensor of size {tuple(size)}, strides {tuple(stride)}, offset {offset}")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 not in size and (last >= flat.numel() or math.prod(size) > flat.numel()):  # a stride of 0 enlarges
        raise pickle.UnpicklingError(f"a tensor of size {tuple(size)} in a memory of {flat.numel()} numbers")
    return flat.as_strided(tuple(size), tuple(stride), offset).clone()


def _parameter(tensor: torch.Tensor, *_: Any) -> torch.Tensor:
    return tensor


def _array(memory: Any, kind: _Kind, shape: tuple[int, ...], order: Any) -> np.ndarray:
    """How pickle's protocol 5 holds an array."""
    return np.frombuffer(memory, _dtype(kind)).reshape(shape, order=order)


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes the bytes of an array for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text as {encoding!r}")
    return text.encode("latin1")


#: Stands for the class in a pickle; it cannot be called.
_NDARRAY = object()
#: What arrays, scalars and tensors need to be rebuilt; nothing here calls code of the file's choosing.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Kind,
    **{(f"numpy.{c}.multiarray", "_reconstruct"): _empty_array for c in ("core", "_core")},
    **{(f"numpy.{c}.multiarray", "scalar"): _scalar for c in ("core", "_core")},
    **{(f"numpy.{c}.numeric", "_frombuffer"): _array for c in ("core", "_core")},
    ("torch", "Size"): tuple,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


class ArrayUnpickler(pickle.Unpickler):
    """Refuses every name in a pickle but those arrays and tensors are made of."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}; only arrays, tensors and plain containers are read"
            )
        return _ALLOWED[module, name]


def refuse_memory_bomb(file: IO[bytes]) -> None:
    """UnpicklingError if the pickle that starts here numbers what it remembers higher than it has parts.

    Python makes a table up to the highest number: ten bytes could ask for 64 GB.
    """
    start = file.tell()
    for parts, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > parts:
            raise pickle.UnpicklingError(f"part {parts} is remembered under number {argument}")
    file.seek(start)


def load_torch_file(path: str | Path) -> Any:
    """What torch.save wrote, if it is tensors and plain containers.

    Raises:
        FileNotFoundError: no such file.
        ValueError: anything else in it, named in the message, or not such a file. (torch's own message is a screen long
            and tells how to run the file's code.)
    """
    try:
        _refuse_compressed(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except (*UNREADABLE, OSError) as error:  # OSError: torch reads where the archive's table of contents points to
        named = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it names {named[1]}; only tensors and plain containers are read" if named else str(error)
        first_line = instead_of(path) or reason.partition("\n")[0] or type(error).__name__
        raise ValueError(f"refused to read {path}: {first_line}") from error


def _refuse_compressed(path: str | Path) -> None:
    """torch.save stores its tensors as they are; packed ones could unpack to a thousand times the file's size."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            packed = [member.filename for member in archive.infolist() if member.compress_type != zipfile.ZIP_STORED]
    except OSError as error:  # the file is there; its table of contents points outside of it
        raise ValueError(f"no whole archive: {error}") from error
    if packed:
        raise ValueError(f"{packed[0]!r} in it is compressed")


def load_array_pickle(path: str | Path) -> dict[str, Any]:
    """The dict in a pickle of arrays and tensors.

    Raises:
        FileNotFoundError: no such file.
        ValueError: anything but arrays, tensors, numbers, strings and plain containers in it; the message names what.
    """
    try:
        with open(path, "rb") as file:
            refuse_memory_bomb(file)
            data = ArrayUnpickler(file, encoding="latin1").load()
    except UNREADABLE as error:
        raise ValueError(f"refused to read the pickle {path}: {instead_of(path) or error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds a {type(data).__name__}, expected a dict of weights")
    return data
