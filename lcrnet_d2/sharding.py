"""A share of a long list for each of several processes that need not know of each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

__all__ = ["Shard"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Shard:
    """The `index`-th of `count` shares, counted from 0.

    Raises:
        ValueError: no such share.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(
                f"share {self.index}/{self.count}: expected 0/{self.count} to {self.count - 1}/{self.count}"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Of "1/4", the second of four; for argparse's `type`."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal()):
            raise ValueError(f"share {text!r}: expected INDEX/COUNT, such as 0/4")
        return cls(int(index), int(count))

    @classmethod
    def of_this_process(cls) -> Shard:
        """By RANK and WORLD_SIZE under torchrun; all of the list otherwise, whatever other programs call RANK."""
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return cls()
        return cls(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))

    def of(self, items: Sequence[_T]) -> Sequence[_T]:
        """Every `count`-th item, from the `index`-th on: all shares together hold each item once."""
        return items[self.index :: self.count]

    def path(self, path: str | Path) -> Path:
        """The share's own file: poses.json -> poses.1-of-4.json; the path itself where there is one share."""
        path = Path(path)
        return path if self.count == 1 else path.with_name(f"{path.stem}.{self.index}-of-{self.count}{path.suffix}")
