#!/usr/bin/env python3
"""Makes the paper's tables and figures: on Human3.6M and MPII where they are on disk, else on the synthetic set.

examples:
  one table    projects/reproduction/reproduce.py table1
  everything   projects/reproduction/reproduce.py all --synthetic --processes 2
  smaller      projects/reproduction/reproduce.py ppi --opts SOLVER.MAX_ITER 50

Writes Markdown, plots and index.html into --output. What is trained, or run, is not trained or run again.
projects/reproduction/README.md says what each needs and what came out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from reproduction import TARGETS, reproduce


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    names = TARGETS if "all" in args.targets else [name for name in TARGETS if name in args.targets]
    try:
        page = reproduce(
            names,
            args.output,
            synthetic=args.synthetic,
            opts=args.opts,
            processes=args.processes,
            may_train=args.train,
        )
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from error
    print(f"written to {page}")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", choices=[*TARGETS, "all"], metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--output", type=Path, default=Path("output/reproduce"))
    parser.add_argument("--synthetic", action="store_true", help="on the synthetic set, whatever else is on disk")
    parser.add_argument(
        "--train", action="store_true", help="train on Human3.6M and MPII too where weights are missing"
    )
    parser.add_argument("--processes", type=int, default=1, help="to train in; on GPUs, how many of them (default 1)")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="config KEY VALUE pairs for every run")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
