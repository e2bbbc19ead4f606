"""Contest: what `import lcrnet_d2` adds to importing the parts of Detectron2 that it stands on."""

from __future__ import annotations

import statistics
import subprocess
import sys

from .report import Table
from .timing import Settings

__all__ = ["PARTS", "measure"]

#: What every program on Detectron2 imports.
PARTS = "import detectron2.config, detectron2.modeling, detectron2.data, detectron2.evaluation, detectron2.engine"
_PROGRAM = f"""
import gc
from time import perf_counter, process_time
a, A = perf_counter(), process_time()
{PARTS}
b, B = perf_counter(), process_time()
gc.collect()
c, C = perf_counter(), process_time()
import lcrnet_d2
d, D = perf_counter(), process_time()
print("seconds", b - a, c - b, d - c, B - A, C - B, D - C)
"""


def measure(settings: Settings) -> list[Table]:
    runs = [_import_times() for _ in range(1 if settings.quick else settings.rounds + 1)]
    runs = runs[1:] or runs  # the first reads the files from disk
    wall_d2, wall_gc, wall, processor_d2, processor_gc, processor = zip(*runs, strict=True)
    columns = ("import", "s, median", "s, least", "s of processor time, median")
    rows = [
        ("detectron2.{config,modeling,data,evaluation,engine}", *_of(wall_d2), statistics.median(processor_d2)),
        ("a garbage collection of their objects", *_of(wall_gc), statistics.median(processor_gc)),
        ("lcrnet_d2, after these", *_of(wall), statistics.median(processor)),
    ]
    note = (
        "All in one process each time, so that what keeps the machine busy falls on all. Where the collection is not "
        "asked for, Python makes it during the second import, of the first's objects."
    )
    return [Table(f"Start-up, {len(runs)} processes one after the other", columns, rows, note)]


def _of(seconds: tuple[float, ...]) -> tuple[float, float]:
    return statistics.median(seconds), min(seconds)


def _import_times() -> tuple[float, ...]:
    out = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True).stdout
    line = next(line for line in out.splitlines() if line.startswith("seconds "))
    return tuple(float(value) for value in line.split()[1:])
