#!/usr/bin/env python3
"""`make demo-train`: from nothing to detected people, with the small model on synthetic data.

Makes the data, clusters anchor poses, trains, chooses score thresholds on val, evaluates on test, draws
held-out pictures and photos, prints one table. An interrupted run goes on where it stopped.

example:
  tools/quick_start.py --output output/demo --photos my_photos
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import matplotlib
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger
from tabulate import tabulate

import build_anchor_poses
from lcrnet_d2 import demo
from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.command_line import run_command
from lcrnet_d2.config import load_config
from lcrnet_d2.detection import DetectionOptions, detect_in_images
from lcrnet_d2.engine import LCRNetTrainer, evaluate_model, score_thresholds
from lcrnet_d2.launch import launch_on_cpu
from lcrnet_d2.predictor import PosePredictor
from lcrnet_d2.structures.whole_files import write_json, write_text

CONFIG = "quick_schedules/lcrnet_lite0_demo.yaml"
NUM_PICTURES = 8


def main(argv: list[str] | None = None) -> None:
    args = parse_arguments(argv)
    start = time.monotonic()
    demo.check_writable(args.output)
    cfg = config_for(args.output, args.opts)
    setup_logging(cfg)

    step(start, "1/5 synthetic data")
    for name in (*cfg.DATASETS.TRAIN, cfg.TEST.LCRNET.THRESHOLD_DATASET, *cfg.DATASETS.TEST):
        print(f"{name}: {len(DatasetCatalog.get(name))} images")
    step(start, "2/5 anchor poses")
    build_anchor_poses.main(
        ["--dataset", cfg.DATASETS.TRAIN[0], "--num-anchor-poses", str(cfg.MODEL.LCRNET.NUM_ANCHOR_POSES)]
        + ["--output", cfg.MODEL.LCRNET.ANCHOR_POSES]
        + (["--upper-body"] if cfg.MODEL.LCRNET.UPPER_BODY else [])
    )
    step(start, f"3/5 training, {cfg.SOLVER.MAX_ITER} iterations")
    launch_on_cpu(train, args.processes, (cfg,))
    cfg.MODEL.WEIGHTS = str(Path(cfg.OUTPUT_DIR) / "model_final.pth")
    model = trained_model(cfg)
    step(start, "4/5 evaluation")
    thresholds = score_thresholds(cfg, model)
    results = evaluate_model(cfg, model, thresholds)
    metrics = {"table": table_rows(results), "score_thresholds": thresholds, **results}
    write_json(args.output / "metrics.json", metrics, indent=1)
    step(start, "5/5 detection")
    cfg.MODEL.LCRNET.INTEGRATION.SCORE_THRESH_PPI = thresholds["ppi"]
    cfg.MODEL.LCRNET.INTEGRATION.SCORE_THRESH_NMS = thresholds["nms"]
    write_text(args.output / "config.yaml", cfg.dump())  # for tools/demo.py: weights and thresholds in it
    images = detect_in_images(PosePredictor(cfg), pictures(cfg, args.photos), args.output, DetectionOptions())
    print(demo.summary(images, args.output))
    print(summary(results, args.output, time.monotonic() - start))


def step(start: float, what: str) -> None:
    print(f"\n=== {what} ({(time.monotonic() - start) / 60:.1f} min so far)", flush=True)


def config_for(output: Path, opts: list[str]) -> CfgNode:
    cfg = load_config(CONFIG, ["DATASETS.TEST", ("lcrnet_synthetic_test",), *opts])
    cfg.OUTPUT_DIR = str(output / "training")
    cfg.MODEL.LCRNET.ANCHOR_POSES = str(output / "anchor_poses.npz")
    return cfg


def train(cfg: CfgNode) -> None:
    """Trains, or goes on with it; evaluation comes later, with thresholds chosen on val."""
    training = cfg.clone()
    training.DATASETS.TEST = ()
    setup_logging(cfg)
    seed_all_rng(max(cfg.SEED, 0) + comm.get_rank())
    trainer = LCRNetTrainer(training)
    trainer.resume_or_load(resume=True)
    if trainer.start_iter < trainer.max_iter:
        trainer.train()


def setup_logging(cfg: CfgNode) -> None:
    for name in ("detectron2", "fvcore", "lcrnet_d2"):
        setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name=name)


def trained_model(cfg: CfgNode) -> torch.nn.Module:
    model = LCRNetTrainer.build_model(cfg).eval()
    LCRNetCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    return model


def pictures(cfg: CfgNode, photos: Path | None) -> list[Path]:
    """Held-out synthetic images, a photo that comes with matplotlib, and the user's own."""
    held_out = [Path(record["file_name"]) for record in DatasetCatalog.get(cfg.DATASETS.TEST[0])[:NUM_PICTURES]]
    sample = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return held_out + [sample] + (demo.find_images([str(photos)]) if photos else [])


def table_rows(results: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """The four rows: mean training pose, unregressed class of the NMS seed, NMS, PPI."""
    common, nms, ppi = results["common"], results["pose_nms"], results["pose_ppi"]
    names = {
        "mean_pose": "mean training pose",
        "anchor": "class of the NMS seed, unregressed",
        "nms": "LCR-Net + NMS",
        "ppi": "LCR-Net + PPI",
    }
    rows = []
    for key, name in names.items():
        row: dict[str, Any] = {"method": name}
        for metric in ("mpjpe_mm", "mpjpe_rigid_mm", "pck_3d_150mm", "pck_2d"):
            row[metric] = common.get(f"{key}_{metric}")
        if key in ("nms", "ppi"):
            method = nms if key == "nms" else ppi
            row |= {"recall": method["recall"], "fp_per_image": method["fp_per_image"]}
        rows.append(row)
    return rows


def summary(results: dict[str, dict[str, float]], output: Path, seconds: float) -> str:
    headers = {
        "method": "",
        "mpjpe_mm": "MPJPE (mm)",
        "mpjpe_rigid_mm": "aligned (mm)",
        "pck_3d_150mm": "3DPCK (%)",
        "pck_2d": "2D PCK (%)",
        "recall": "found (%)",
        "fp_per_image": "false pos./image",
    }
    table = tabulate(
        [[row.get(key) for key in headers] for row in table_rows(results)],
        headers=list(headers.values()),
        floatfmt=("", ".1f", ".1f", ".1f", ".1f", ".1f", ".2f"),
        missingval="",
    )
    n = int(results["common"]["n_people_3d"])
    return (
        f"\nHeld-out synthetic people that NMS and PPI both found (n = {n} of "
        f"{int(results['pose_ppi']['n_people'])}), {int(results['pose_ppi']['n_images'])} images:\n{table}\n"
        f"{seconds / 60:.1f} min; pictures, poses.json and metrics.json in {output}"
    )


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("output/demo"))
    parser.add_argument("--photos", type=Path, help="folder of own pictures to detect people in")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), help="to train in (default 2)")
    parser.add_argument("--opts", nargs=argparse.REMAINDER, default=[], help="config KEY VALUE pairs")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)
