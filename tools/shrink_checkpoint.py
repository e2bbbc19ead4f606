#!/usr/bin/env python
"""Writes a small copy of a checkpoint for others: the model and its anchor poses, in half precision.

Optimizer, schedule and iteration are left out. The same weights give the same bytes, whatever the file was called.
Prints what an entry of lcrnet_d2/checkpoint/catalogue.py needs.

example:
  tools/shrink_checkpoint.py output/demo/training/model_final.pth lcrnet_d2/weights/demo.pth
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lcrnet_d2.checkpoint.catalogue import file_sha256
from lcrnet_d2.checkpoint.small_checkpoint import count_parameters, read_model, small_model, write_model
from lcrnet_d2.command_line import run_command


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    try:
        model = small_model(read_model(args.source))
        write_model(model, args.target)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    for part, count in count_parameters(model).items():
        print(f"{part:>24} {count:>12,} numbers")
    print(f"file    {args.target}\nsize    {args.target.stat().st_size:,} bytes\nsha256  {file_sha256(args.target)}")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="checkpoint of a training (.pth)")
    parser.add_argument("target", type=Path, help="file to write")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)
