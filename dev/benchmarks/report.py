"""What contests give: tables, as Markdown between markers of a page and as JSON."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .timing import Contender, Settings, Timing, alternate, peak_memory

__all__ = ["Table", "compare", "environment", "insert", "to_json", "to_markdown"]


class Table(NamedTuple):
    """Rows of text and numbers; a number is printed with three digits. note: what a reader must know."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    note: str = ""


def compare(
    title: str, contenders: list[Contender], rounds: int, note: str = "", memory: bool = False
) -> tuple[Table, list[Timing]]:
    """Times contenders in turn; the first is the reference. With `memory` also the peak of each, in MB."""
    timings = alternate(contenders, rounds)
    first = contenders[0].name
    columns = ("", "ms, median", "ms, least", f"time / {first}", f"processor time / {first}")
    rows: list[tuple[Any, ...]] = [
        (c.name, 1e3 * t.median, 1e3 * t.least, t.ratio, t.processor_ratio)
        for c, t in zip(contenders, timings, strict=True)
    ]
    if memory:
        columns += ("peak MB",)
        rows = [(*row, peak_memory(c.run) / 1e6) for row, c in zip(rows, contenders, strict=True)]
    return Table(title, columns, rows, note), timings


def to_markdown(tables: list[Table]) -> str:
    parts = []
    for table in tables:
        lines = [f"**{table.title}**", ""]
        if table.rows:
            lines += ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
            lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in table.rows]
            lines.append("")
        if table.note:
            lines += [table.note, ""]
        parts.append("\n".join(lines))
    return "\n".join(parts).strip()


def to_json(tables: list[Table]) -> list[dict[str, Any]]:
    return [
        {"title": t.title, "note": t.note, "rows": [dict(zip(t.columns, row, strict=True)) for row in t.rows]}
        for t in tables
    ]


def insert(page: str, name: str, text: str) -> str:
    """The page with `text` between the markers `<!-- bench: name -->` and `<!-- end -->`.

    Raises:
        ValueError: the page has no such markers, or several.
    """
    pattern = re.compile(rf"(<!-- bench: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    new, times = pattern.subn(lambda match: f"{match[1]}{text}\n{match[2]}", page)
    if times != 1:
        raise ValueError(f"the page has {times} places for {name!r}; write '<!-- bench: {name} -->' and '<!-- end -->'")
    return new


def environment(settings: Settings) -> dict[str, Any]:
    """Where it was measured, and how busy the machine was with other things."""
    load = os.getloadavg()[0]
    return {
        "processor": _processor(),
        "device": torch.cuda.get_device_name() if settings.device == "cuda" else "cpu",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": round(load, 1),
        "beside_other_work": load > torch.get_num_threads() + 0.5,
        "quick": settings.quick,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
