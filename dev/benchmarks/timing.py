"""Times contenders in turn, so that whatever else the machine does falls on all of them; and counts their memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

__all__ = ["Contender", "Settings", "Timing", "alternate", "peak_memory", "wait_for_gpu"]


#: A turn lasts about so long, seconds, but for contenders that need longer for one run or could run more often.
_TURN_S = 0.2
_MOST_RUNS = 20


class Settings(NamedTuple):
    """quick: tiny sizes, which show that a contest runs and nothing else. device: "cpu" or "cuda". rounds: at least."""

    quick: bool
    device: str
    rounds: int


class Contender(NamedTuple):
    """Something to time."""

    name: str
    run: Callable[[], object]


class Timing(NamedTuple):
    """Of one contender. Ratios are to the first contender: medians over the rounds of the ratio within a round.

    median, least: seconds of wall clock. ratio: of the wall clock. processor_ratio: of this process's processor time,
    which others on the machine disturb less; says little on a GPU.
    """

    median: float
    least: float
    ratio: float
    processor_ratio: float


def alternate(contenders: list[Contender], rounds: int) -> list[Timing]:
    """Runs each contender once to warm up, then `rounds` turns A B C A B C ..., one Timing per contender.

    A short contender runs several times in its turn: alone, the first run would mostly find the caches and the heap as
    the contender before left them. Seconds are those of one run.
    """
    walls: list[list[float]] = [[] for _ in contenders]
    processors: list[list[float]] = [[] for _ in contenders]
    repeats = [_runs_in_a_turn(contender) for contender in contenders]
    for _ in range(rounds):
        for contender, runs, wall, processor in zip(contenders, repeats, walls, processors, strict=True):
            wait_for_gpu()
            started, used = time.perf_counter(), time.process_time()
            for _ in range(runs):
                contender.run()
            wait_for_gpu()
            wall.append((time.perf_counter() - started) / runs)
            processor.append((time.process_time() - used) / runs)
    return [
        Timing(statistics.median(wall), min(wall), _ratio(wall, walls[0]), _ratio(processor, processors[0]))
        for wall, processor in zip(walls, processors, strict=True)
    ]


def peak_memory(run: Callable[[], object]) -> int:
    """Bytes that PyTorch holds at most while `run` runs, beyond what it holds before: not weights, not the program."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        run()
    level = peak = 0
    results: Any = record.profiler
    for _, change in sorted(_allocations(results.kineto_results.experimental_event_tree())):
        level += change
        peak = max(peak, level)
    return peak


def _allocations(events: list[Any]) -> Iterator[tuple[int, int]]:
    """(time, bytes) of what was taken, and given back (negative)."""
    waiting = list(events)
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if event.tag.name == "Allocation":
            yield event.start_time_ns, event.typed[1].alloc_size


def _runs_in_a_turn(contender: Contender) -> int:
    started = time.perf_counter()
    contender.run()
    wait_for_gpu()
    return min(max(round(_TURN_S / max(time.perf_counter() - started, 1e-9)), 1), _MOST_RUNS)


def _ratio(ours: list[float], reference: list[float]) -> float:
    return statistics.median(a / max(b, 1e-9) for a, b in zip(ours, reference, strict=True))


def wait_for_gpu() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
