"""How fast everything is, measured as ratios: contenders take turns in one run. Started by dev/bench.py."""

from collections.abc import Callable

from . import data, decode, devices, gpu, growth, inference, ppi, startup, training
from .report import Table, environment, insert, to_json, to_markdown
from .timing import Settings

__all__ = ["CONTESTS", "Settings", "Table", "environment", "insert", "to_json", "to_markdown"]

#: Name, and what measures it.
CONTESTS: dict[str, Callable[[Settings], list[Table]]] = {
    "decode": decode.measure,
    "ppi": ppi.measure,
    "inference": inference.measure,
    "training": training.measure,
    "data": data.measure,
    "growth": growth.measure,
    "gpu": gpu.measure,
    "devices": devices.measure,
    "startup": startup.measure,
}
