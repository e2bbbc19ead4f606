"""Damaged copies of a file: flipped bits, cuts, swapped and repeated parts, numbers made huge."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

__all__ = ["mutated"]

_HUGE = (b"1000000000", b"-1", b"99999999999999999999", b"1e400", b"nan", b"0", b"[[[[", b"../../../etc/passwd")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """One to four changes to a file's bytes; its first part is hit more often, as headers make claims."""
    for _ in range(rng.randint(1, 4)):
        content = rng.choice(_CHANGES)(content, rng)
    return content


def _place(content: bytes, rng: random.Random) -> int:
    return rng.randrange(max(1, min(len(content), 512) if rng.random() < 0.5 else len(content)))


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        changed[_place(changed, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _fill(content: bytes, rng: random.Random) -> bytes:
    at, length = _place(content, rng), rng.choice((1, 2, 4, 8, 32))
    return content[:at] + rng.choice((b"\0", b"\xff", b"\x7f")) * length + content[at + length :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)] if rng.random() < 0.5 else content[_place(content, rng) :]


def _swap(content: bytes, rng: random.Random) -> bytes:
    a, b, c = sorted(_place(content, rng) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    a, b = sorted(_place(content, rng) for _ in range(2))
    return content[:b] + content[a:b] * rng.choice((1, 2, 20)) + content[b:]


def _number(content: bytes, rng: random.Random) -> bytes:
    numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?", content[:100_000]))
    if not numbers:
        return _flip(content, rng)
    found = rng.choice(numbers)
    return content[: found.start()] + rng.choice(_HUGE) + content[found.end() :]


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_flip, _flip, _fill, _cut, _swap, _repeat, _number)
