"""Pictures a second of a training with everything: files, decoding, augmentation, workers, losses, optimizer."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from lcrnet_d2.config import load_config
from lcrnet_d2.data.datasets.builtin import register_pose_file
from lcrnet_d2.data.synthetic.dataset import ANNOTATIONS, make_synthetic_set
from lcrnet_d2.engine import LCRNetTrainer
from lcrnet_d2.structures import BODY13

from .data import random_anchors
from .models import BASES, TINY
from .report import Table
from .timing import Settings, wait_for_gpu

__all__ = ["measure"]

_STEPS, _WARM = 40, 10
_COLUMNS = ("", "pictures a second", "s a step", "of these waiting for data")


def measure(settings: Settings) -> Table:
    """Lite0-FPN at 320 px, 64 pictures a step, in full precision and with AMP."""
    batch, steps, warm = (2, 2, 1) if settings.quick else (64, _STEPS, _WARM)
    workers = 0 if settings.quick else min(16, (os.cpu_count() or 1))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cfg = _config(Path(folder), batch, workers, settings)
        for cfg.SOLVER.AMP.ENABLED in (False, True) if settings.device == "cuda" else (False,):
            seconds, waiting = _steps(cfg, steps, warm)
            name = "float16 (AMP)" if cfg.SOLVER.AMP.ENABLED else "float32"
            rows.append((name, batch / seconds, seconds, waiting))
    title = f"Training on files, Lite0-FPN, {batch} pictures of 320 px a step, {workers} workers"
    return Table(title, _COLUMNS, rows)


def _config(folder: Path, batch: int, workers: int, settings: Settings) -> CfgNode:
    """A training on a set drawn for it, whose step changes no weights."""
    size, count = ((64, 96), 4) if settings.quick else ((480, 640), 256)
    make_synthetic_set(folder / "set", "train", count, 0, size)
    name = f"throughput_{folder.name}"
    register_pose_file(name, folder / "set" / ANNOTATIONS, folder / "set", BODY13)
    random_anchors(20).save(folder / "anchors.npz")
    opts = ["MODEL.DEVICE", settings.device, "MODEL.LCRNET.NUM_ANCHOR_POSES", 20, "SOLVER.BASE_LR", 0.0, "SEED", 1]
    opts += ["MODEL.LCRNET.ANCHOR_POSES", str(folder / "anchors.npz"), "INPUT.MIN_SIZE_TRAIN", (320,)]
    opts += ["DATASETS.TRAIN", (name,), "SOLVER.IMS_PER_BATCH", batch, "DATALOADER.NUM_WORKERS", workers]
    return load_config(BASES["Lite0-FPN"][0], [*opts, *(TINY if settings.quick else ())])


def _steps(cfg: CfgNode, steps: int, warm: int) -> tuple[float, float]:
    """Seconds of a step, and of waiting for its data, after so many to warm up."""
    trainer = LCRNetTrainer(cfg)
    network: Any = trainer._trainer.model
    network.roi_heads.box_predictor.set_anchor_poses(random_anchors(20))
    waiting, started = 0.0, 0.0
    with EventStorage() as storage:
        for trainer.iter in range(warm + steps):
            if trainer.iter == warm:
                wait_for_gpu()
                started = time.perf_counter()
            trainer.run_step()
            waiting += storage.latest()["data_time"][0] if trainer.iter >= warm else 0.0
            storage.step()
        wait_for_gpu()
    return (time.perf_counter() - started) / steps, waiting / steps
