from __future__ import annotations

import time

import torch

from benchmarks.timing import Contender, alternate, peak_memory


def test_contenders_take_turns_after_warming_up() -> None:
    calls: list[str] = []

    def contender(name: str, seconds: float) -> Contender:
        return Contender(name, lambda: (calls.append(name), time.sleep(seconds)))

    alternate([contender("a", 0.2), contender("b", 0.01)], rounds=2)
    turns = [name for i, name in enumerate(calls) if i == 0 or calls[i - 1] != name]
    assert turns == ["a", "b"] * 3
    assert calls.count("a") == 3 and 2 < calls.count("b") <= 1 + 2 * 20


def test_the_peak_counts_what_is_held_at_the_same_time() -> None:
    """1 MB twice, one after the other, is a peak of 1 MB; together it is 2."""

    def one_after_the_other() -> None:
        for _ in range(2):
            torch.zeros(250_000)

    def together() -> None:
        _ = [torch.zeros(250_000) for _ in range(2)]

    assert 1_000_000 <= peak_memory(one_after_the_other) < 1_100_000
    assert 2_000_000 <= peak_memory(together) < 2_100_000
    held = torch.zeros(1_000_000)  # before: does not count
    assert peak_memory(lambda: held[:10] + 1) < 10_000
