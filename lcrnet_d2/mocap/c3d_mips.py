"""C3D files of MIPS machines (SGI), whose bytes stand the other way round, as those of Intel machines.

ezc3d 1.7 reads Intel's and DEC's alone.
"""

from __future__ import annotations

import math
import struct

__all__ = ["MIPS", "as_intel"]

#: Number of the processor in the file.
MIPS = 86

_BLOCK = 512
_HEADER_FLOATS = (12, 20)  # scale, frames per second
_HEADER_WORDS = (2, 4, 6, 8, 10, 16, 18)
_INTEL = 84


def as_intel(data: bytes) -> bytes:
    """The same recording as an Intel machine writes it.

    Args:
        data: a file whose processor is `MIPS`.

    Raises:
        ValueError: its parameters do not lie within it.
    """
    turned = bytearray(data)
    for at in _HEADER_WORDS:
        turned[at : at + 2] = data[at : at + 2][::-1]
    for at in _HEADER_FLOATS:
        turned[at : at + 4] = data[at : at + 4][::-1]
    parameters = (data[0] - 1) * _BLOCK
    turned[parameters + 3] = _INTEL
    try:
        _turn_parameters(turned, data, parameters + 4)
    except (struct.error, IndexError) as error:
        raise ValueError("its parameters end outside it") from error
    start = (struct.unpack_from(">H", data, 16)[0] - 1) * _BLOCK
    as_floats = struct.unpack_from(">f", data, 12)[0] < 0  # a negative scale says: floats, not integers
    _turn(turned, start, 4 if as_floats else 2, (len(data) - start) // (4 if as_floats else 2))
    return bytes(turned)


def _turn_parameters(turned: bytearray, data: bytes, at: int) -> None:
    """Groups and parameters: length of the name, number of the group (negative: the group itself), name, step to the
    next; of a parameter then bytes per value (-1 for letters), number of dimensions, dimensions, values."""
    while data[at]:
        named = at + 2 + abs(struct.unpack_from("b", data, at)[0])  # negative: locked
        (step,) = struct.unpack_from(">h", data, named)
        _turn(turned, named, 2, 1)
        if struct.unpack_from("b", data, at + 1)[0] > 0:
            size, dimensions = struct.unpack_from("bB", data, named + 2)
            values = named + 4 + dimensions
            _turn(turned, values, abs(size), math.prod(data[named + 4 : values]))
        if step <= 0:
            return
        at = named + step


def _turn(turned: bytearray, start: int, size: int, count: int) -> None:
    """Turns `count` numbers of `size` bytes round."""
    end = start + size * count
    if end > len(turned):
        raise IndexError(end)
    numbers = bytes(turned[start:end])
    for k in range(size):
        turned[start + k : end : size] = numbers[size - 1 - k :: size]
