#!/usr/bin/env python3
"""Training speed with 1, 2, 4 ... CPU processes on one machine, the joint batch unchanged.

    python dev/reliability/scaling.py --processes 1 2 4 --work output/scaling
    python dev/reliability/scaling.py --processes 1 2 4 --per-process-batch ...   # the batch grows with them

Prints images per second after the first iterations, and the speed-up over one process.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from detectron2.engine import HookBase
from detectron2.utils import comm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from kill_test import config, make_data

from lcrnet_d2.data.datasets.builtin import register_pose_files
from lcrnet_d2.engine import LCRNetTrainer
from lcrnet_d2.launch import launch_on_cpu

WARM_UP = 3


class Clock(HookBase):
    """Seconds of all iterations after the first three."""

    def after_step(self) -> None:
        if self.trainer.iter == WARM_UP - 1:
            self.start = time.perf_counter()

    def after_train(self) -> None:
        self.seconds = time.perf_counter() - self.start


def train(args: argparse.Namespace, batch: int, output: Path) -> None:
    cfg = config(args, output)
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.CHECKPOINT_PERIOD = batch, 10**9
    cfg.INPUT.MIN_SIZE_TRAIN = (args.size,)
    register_pose_files(cfg)
    trainer = LCRNetTrainer(cfg)
    clock = Clock()
    trainer.register_hooks([clock])
    trainer.resume_or_load(resume=False)
    trainer.train()
    if comm.is_main_process():
        speed = (args.iterations - WARM_UP) * batch / clock.seconds
        (output / "speed.json").write_text(json.dumps({"batch": batch, "images_per_second": speed}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--batch", type=int, default=8, help="images per iteration, of all processes together")
    parser.add_argument("--per-process-batch", action="store_true", help="--batch is of each process")
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--size", type=int, default=96, help="px, shorter side")
    parser.add_argument("--work", type=Path, required=True, help="a folder for this; emptied first")
    args = parser.parse_args()
    shutil.rmtree(args.work, ignore_errors=True)
    args.work.mkdir(parents=True)
    make_data(args.work)
    first = None
    for processes in args.processes:
        output = args.work / f"processes-{processes}"
        output.mkdir()
        batch = args.batch * (processes if args.per_process_batch else 1)
        launch_on_cpu(train, processes, (args, batch, output))
        speed = json.loads((output / "speed.json").read_text())["images_per_second"]
        first = first or speed
        print(f"{processes} processes, batch {batch}: {speed:.2f} images/s, {speed / first:.2f} x", flush=True)


if __name__ == "__main__":
    main()
