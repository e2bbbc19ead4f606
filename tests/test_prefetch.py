"""Work in advance keeps order, numbers and errors, and ends when asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from lcrnet_d2.prefetch import prefetched


@pytest.mark.parametrize("size", [0, 1, 3, 20])
@pytest.mark.parametrize("count", [0, 1, 10])
def test_the_same_items_in_order(size: int, count: int) -> None:
    assert list(prefetched(iter(range(count)), size)) == list(range(count))
    assert list(prefetched([None] * count, size)) == [None] * count


def test_the_next_is_made_meanwhile_and_never_more_than_asked_for() -> None:
    """The maker and the user of an item meet: neither could go on if one waited for the other's end."""
    meeting, begun = threading.Barrier(2, timeout=60), []

    def items() -> Iterator[int]:
        for number in range(6):
            begun.append(number)
            if number % 2:
                meeting.wait()
            yield number

    for number in prefetched(items(), 1):
        assert len(begun) <= number + 2
        if number % 2 == 0:
            meeting.wait()
    assert begun == list(range(6))


def test_an_error_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise OSError("disk")

    seen = []
    with pytest.raises(OSError, match="disk"):
        for number in prefetched(items(), 2):
            seen.append(number)
    assert seen == [0, 1, 2]


def test_who_stops_early_leaves_no_thread_and_no_open_generator() -> None:
    """Ctrl-C at the first item: what is in the making is waited for, and the source is closed."""
    before, made, closed = threading.active_count(), [], []

    def items() -> Iterator[int]:
        try:
            for number in range(1000):
                made.append(number)
                yield number
        finally:
            closed.append(True)

    with pytest.raises(KeyboardInterrupt), closing(prefetched(items(), 4)) as waiting:
        for _ in waiting:
            raise KeyboardInterrupt
    assert closed == [True] and len(made) <= 6 and threading.active_count() == before
