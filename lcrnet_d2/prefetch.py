"""Work in advance: the next item is made by a thread while this one is in use."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetched"]

_T = TypeVar("_T")
_END = object()


def prefetched(items: Iterable[_T], size: int = 1) -> Generator[_T, None, None]:
    """The same items in the same order, of which a thread makes up to `size` in advance; 0: none, without a thread.

    What the making of an item raises is raised in its place. Whoever may stop before the end should close this
    (`contextlib.closing`): the item in the making is waited for, and no other is begun.
    """
    iterator = iter(items)
    if size == 0:
        yield from iterator
        return
    with ThreadPoolExecutor(1) as maker:
        waiting = deque(maker.submit(next, iterator, _END) for _ in range(size))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(maker.submit(next, iterator, _END))
                yield item  # pyright: ignore[reportReturnType]
        finally:
            maker.shutdown(cancel_futures=True)
            if isinstance(iterator, Generator):
                iterator.close()
