#!/usr/bin/env python3
"""Measures how fast everything is: ratios in one run, the contenders taking turns.

Writes its tables between the markers of docs/notes/benchmarks.md and all numbers to output/bench.json; what is not
measured this time stays as it was. One thread on a CPU.

examples:
  dev/bench.py
  dev/bench.py --only ppi decode
  dev/bench.py --rounds 5 --only gpu ppi decode training devices  # on a GPU, some four minutes
  dev/bench.py --quick --page "" --output output/bench_quick.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from benchmarks import CONTESTS, Settings, environment, insert, to_json, to_markdown
from lcrnet_d2.structures.whole_files import write_json, write_text

ROOT = Path(__file__).resolve().parent.parent


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CONTESTS), metavar="NAME", help=", ".join(CONTESTS))
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether it runs, not how fast")
    parser.add_argument("--rounds", type=int, default=10, help="turns of each contender (10)")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU (1)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--page", default=str(ROOT / "docs" / "notes" / "benchmarks.md"), help='"" for none')
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "bench.json")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_arguments(arguments)
    threads = torch.get_num_threads()
    torch.set_num_threads(args.threads)
    settings = Settings(args.quick, args.device, 2 if args.quick else args.rounds)
    results: dict[str, Any] = json.loads(args.output.read_text()) if args.output.is_file() else {}
    for name in args.only or CONTESTS:
        started = time.perf_counter()
        where = environment(settings)
        tables = CONTESTS[name](settings)
        text = f"{_in_words(where)}\n\n{to_markdown(tables)}"
        print(f"\n{name} ({time.perf_counter() - started:.0f} s)\n\n{text}", flush=True)
        results[name] = {"where": where, "when": _now(), "tables": to_json(tables)}
        args.output.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.output, results, indent=1)
        if args.page:
            write_text(args.page, insert(Path(args.page).read_text(), name, text))
    torch.set_num_threads(threads)
    return 0


def _in_words(where: dict[str, Any]) -> str:
    machine = where["device"] if where["device"] != "cpu" else where["processor"]
    text = f"{machine}, {where['threads']} of {where['cores']} cores, torch {where['torch']}, {_now()}."
    if where["beside_other_work"]:
        text += f" **Measured beside other work** (load {where['load']}): ratios are a guide, times mean little."
    return text


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


if __name__ == "__main__":
    sys.exit(main())
