#!/usr/bin/env python3
"""Kills training at random moments, resumes it, and compares its end with that of a run nobody touched.

    python dev/reliability/kill_test.py --kills 50 --at-writes 30 --work output/kill_test

Each kill is a SIGKILL of a training process in a folder of its own; with --at-writes so many of them fall while a
checkpoint is being written. Then every checkpoint in the folder is read, training resumes, and all tensors of the last
checkpoint (weights, momenta) and the loss of every iteration must equal those of the uninterrupted run, bit for bit.
Exit code 1 if any differs. Set OMP_NUM_THREADS: results are equal for equal numbers of threads.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase, default_setup

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lcrnet_d2.config import load_config
from lcrnet_d2.data.anchor_clustering import cluster_poses
from lcrnet_d2.data.datasets.builtin import register_pose_files
from lcrnet_d2.data.synthetic.dataset import make_synthetic_set
from lcrnet_d2.engine import LCRNetTrainer
from lcrnet_d2.structures import BODY13
from lcrnet_d2.structures.whole_files import write_json

PERIOD = 2
#: Seconds after the start of a write in which a kill aimed at it falls; a write takes about 30 ms.
WRITE_S = 0.03


class Diary(HookBase):
    """A line per iteration, on disk before the next one starts: its number and its loss to the last bit."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def after_step(self) -> None:
        loss = self.trainer.storage.latest()["total_loss"][0]
        with self._path.open("a") as file:
            file.write(f"{self.trainer.iter} {float(loss).hex()}\n")


def main() -> int:
    args = parse_arguments()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    random.seed(args.seed)
    shutil.rmtree(args.work, ignore_errors=True)
    args.work.mkdir(parents=True)
    make_data(args.work)
    whole = args.work / "whole"
    start = time.perf_counter()
    os.waitpid(start_training(args, whole), 0)
    duration = time.perf_counter() - start
    expected = outcome(whole)
    assert sorted(expected["losses"]) == list(range(args.iterations)), f"no whole run: see {whole}/log.txt"
    print(f"uninterrupted: {duration:.1f} s, {args.iterations} iterations, a checkpoint every {PERIOD}", flush=True)
    trials = [one_kill(args, number, number < args.at_writes, duration, expected) for number in range(args.kills)]
    report(args, trials)
    return 0 if all(trial["equal"] for trial in trials) else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--at-writes", type=int, default=30, help="how many of them while a checkpoint is written")
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--work", type=Path, required=True, help="a folder for this; emptied first")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    return parser.parse_args()


def make_data(work: Path) -> None:
    make_synthetic_set(work / "set", "train", 24, 0, (96, 128), num_workers=1)
    people = json.loads((work / "set" / "annotations.json").read_text())["annotations"]
    poses_3d = torch.tensor([person["pose_3d"] for person in people], dtype=torch.float32)
    poses_2d = torch.tensor([person["keypoints"] for person in people]).view(-1, len(BODY13), 3)[..., :2]
    cluster_poses(poses_2d, poses_3d, BODY13, 4, True, 0).save(work / "anchors.npz")


def start_training(args: argparse.Namespace, output: Path) -> int:
    """The id of a new process that trains into `output`, going on where a former one was."""
    output.mkdir(exist_ok=True)
    child = os.fork()  # no thread has been started here yet; saves each training the imports' four seconds
    if child:
        return child
    code = 1
    try:
        log = os.open(output / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        train(config(args, output), output)
        code = 0
    finally:
        os._exit(code)


def train(cfg: CfgNode, output: Path) -> None:
    register_pose_files(cfg)
    default_setup(cfg, argparse.Namespace(eval_only=False))
    trainer = LCRNetTrainer(cfg)
    diary = Diary(output / "losses.txt")
    diary.trainer = trainer
    trainer._hooks.insert(0, diary)
    trainer.resume_or_load(resume=True)
    trainer.train()


def config(args: argparse.Namespace, output: Path) -> CfgNode:
    folder = args.work / "set"
    opts: list[Any] = ["MODEL.LCRNET.NUM_ANCHOR_POSES", 4, "MODEL.LCRNET.UPPER_BODY", True]
    opts += ["MODEL.LCRNET.ANCHOR_POSES", str(args.work / "anchors.npz"), "MODEL.FPN.OUT_CHANNELS", 16]
    opts += ["MODEL.ROI_BOX_HEAD.FC_DIM", 32, "INPUT.MIN_SIZE_TRAIN", (64,), "INPUT.LCRNET.COLOR_JITTER", 0.2]
    opts += ["DATASETS.POSE_FILES", [["kill_test", str(folder / "annotations.json"), str(folder)]]]
    opts += ["DATASETS.TRAIN", ("kill_test",), "DATASETS.TEST", (), "TEST.LCRNET.THRESHOLD_DATASET", ""]
    opts += ["SOLVER.IMS_PER_BATCH", 2, "SEED", 1, "SOLVER.CHECKPOINT_PERIOD", PERIOD]
    opts += ["SOLVER.MAX_ITER", args.iterations, "OUTPUT_DIR", str(output)]
    return load_config("quick_schedules/lcrnet_lite0_demo.yaml", opts)


def one_kill(
    args: argparse.Namespace, number: int, at_write: bool, duration: float, expected: dict[str, Any]
) -> dict[str, Any]:
    output = args.work / f"{number:02d}"
    child = start_training(args, output)
    if at_write:
        wait_for_write(output, random.randrange(args.iterations // PERIOD))
        time.sleep(random.uniform(0, WRITE_S))
    else:
        time.sleep(random.uniform(0, duration))
    in_write = bool(list(output.glob("*.part")))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    done = losses_of(output)
    unreadable = [str(file) for file in output.glob("*.pth") if not is_whole(file)]
    _, second = os.waitpid(start_training(args, output), 0)
    again = [iteration for iteration, _ in losses_of(output)[len(done) :]]
    last = max((iteration for iteration, _ in done), default=-1)
    trial = {
        "number": number,
        "killed": os.WIFSIGNALED(status),
        "in_write": in_write or bool(list(output.glob("*.part"))),
        "after_iteration": last,
        "resumed_at": min(again, default=args.iterations),
        "lost": last + 1 - min(again, default=args.iterations),
        "unreadable": unreadable,
        "equal": second == 0 and not unreadable and same(outcome(output), expected),
    }
    print(trial, flush=True)
    if trial["equal"]:
        shutil.rmtree(output)
    return trial


def wait_for_write(output: Path, number: int) -> None:
    """Until the `number`-th checkpoint after the first is being written, or training is over."""
    for count, _ in enumerate(new_partial_files(output)):
        if count == number:
            return


def new_partial_files(output: Path) -> Iterator[str]:
    """Names of checkpoints as their writing starts; ends a second after the last checkpoint is there."""
    seen: set[str] = set()
    while not (output / "model_final.pth").exists():
        for name in os.listdir(output):
            if name.endswith(".pth.part") and name not in seen:
                seen.add(name)
                yield name
        time.sleep(0.0002)


def losses_of(output: Path) -> list[tuple[int, str]]:
    file = output / "losses.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(int(words[0]), words[1]) for words in map(str.split, lines) if len(words) == 2]


def outcome(output: Path) -> dict[str, Any]:
    """The last checkpoint, and the loss of each iteration as often as it was made."""
    losses: dict[int, set[str]] = {}
    for iteration, loss in losses_of(output):
        losses.setdefault(iteration, set()).add(loss)
    last = output / "model_final.pth"
    return {"losses": losses, "checkpoint": torch.load(last, weights_only=True) if last.exists() else None}


def same(a: Any, b: Any) -> bool:
    """Of nested dicts and lists with tensors."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def is_whole(file: Path) -> bool:
    try:
        return "model" in torch.load(file, weights_only=True)
    except Exception:  # whatever it is, the file is not what a writer meant to leave
        return False


def report(args: argparse.Namespace, trials: list[dict[str, Any]]) -> None:
    killed = [trial for trial in trials if trial["killed"]]
    summary = {
        "equal": f"{sum(trial['equal'] for trial in trials)} of {len(trials)}",
        "killed before the end": len(killed),
        "while a checkpoint was written": sum(trial["in_write"] for trial in killed),
        "iterations lost at most": max((trial["lost"] for trial in killed), default=0),
        "unreadable checkpoints": sum(len(trial["unreadable"]) for trial in trials),
    }
    write_json(args.work / "report.json", {"summary": summary, "trials": trials}, indent=1)
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    sys.exit(main())
