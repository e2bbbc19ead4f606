#!/usr/bin/env python3
"""Asks the paper's questions of rendered scenes: heads trained on what a frozen, published network sees of them.

example:
  projects/reproduction/findings.py --train datasets/rendered_free/train datasets/rendered/train \\
      --val datasets/rendered/val --test datasets/rendered/test --processes 2 \\
      --photos COCO datasets/coco/test.json datasets/coco/images

Writes RESULTS.md, its images and everything it is made from into --output; what is there is not made again.
README.md, beside this file, says what it does and what came out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from reproduction.findings import STAGES, run_stage
from reproduction.study import Study


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    torch.set_num_threads(1)
    sets = {name: tuple(getattr(args, name)) for name in ("train", "val", "test")}
    study = Study(args.output, args.model, sets, args.weights, args.most)
    photos = {name: (Path(file), Path(folder)) for name, file, folder in args.photos}
    for stage in STAGES if "all" in args.stages else args.stages:
        print(f"=== {stage}", flush=True)
        run_stage(study, stage, args.processes, photos, args.iterations)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", default=["all"], help=f"of {', '.join(STAGES)}, or all (the default)")
    parser.add_argument("--train", nargs="+", type=Path, required=True, help="folders of rendered scenes")
    parser.add_argument("--val", nargs="+", type=Path, required=True)
    parser.add_argument("--test", nargs="+", type=Path, required=True)
    parser.add_argument("--model", default="lcrnet_movenet_research", help="of the zoo, or a config")
    parser.add_argument("--weights", help="others than the model's own")
    parser.add_argument("--photos", nargs=3, action="append", default=[], metavar=("NAME", "JSON", "FOLDER"))
    parser.add_argument("--most", type=int, help="images of each set at most")
    parser.add_argument("--iterations", type=int, default=300, help="of the whole network, in the end (300)")
    parser.add_argument("--processes", type=int, default=1, help="of one thread and about 2 GB each (1)")
    parser.add_argument("--output", type=Path, default=Path("output/findings"))
    args = parser.parse_args(argv)
    unknown = sorted({*args.stages} - {*STAGES, "all"})
    if unknown:
        parser.error(f"no stage {', '.join(unknown)}; there are {', '.join(STAGES)}")
    return args


if __name__ == "__main__":
    main()
