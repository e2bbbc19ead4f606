#!/usr/bin/env python3
"""Makes the paper's tables and figures on Human3.6M and MPII, where they have been prepared.

examples:
  one table    projects/reproduction/reproduce.py table1
  everything   projects/reproduction/reproduce.py all --train

Writes Markdown, plots and index.html into --output. What is trained, or run, is not trained or run again.
findings.py asks the paper's questions of rendered scenes; README.md says what each needs and what came out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from reproduction import TARGETS, reproduce


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    names = TARGETS if "all" in args.targets else [name for name in TARGETS if name in args.targets]
    try:
        page = reproduce(names, args.output, opts=args.opts, processes=args.processes, may_train=args.train)
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from error
    print(f"written to {page}")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", choices=[*TARGETS, "all"], metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--output", type=Path, default=Path("output/reproduce"))
    parser.add_argument("--train", action="store_true", help="train where weights are missing (days without a GPU)")
    parser.add_argument("--processes", type=int, default=1, help="to train in; on GPUs, how many of them (default 1)")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="config KEY VALUE pairs for every run")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
