"""Trains what an experiment needs, once: anchor poses and weights that are there already are used again."""

from __future__ import annotations

import logging
import resource
import time
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger
from torch import nn

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.config import load_config
from lcrnet_d2.data.anchor_clustering import cluster_known_poses
from lcrnet_d2.data.datasets.builtin import register_pose_files
from lcrnet_d2.engine import LCRNetTrainer
from lcrnet_d2.launch import launch_processes
from lcrnet_d2.structures import SKELETONS
from lcrnet_d2.structures.whole_files import write_json

from .experiments import Experiment
from .sets import register_sets

__all__ = [
    "TRAINING_FIGURES",
    "config_of",
    "ensure_trained",
    "is_trained",
    "load_model",
    "register_data",
    "train_config",
    "weights_file",
]

_WEIGHTS = "model_final.pth"
#: File beside the weights: iterations, images, processes, seconds, peak memory.
TRAINING_FIGURES = "training.json"


def config_of(experiment: Experiment, root: Path, opts: list[str] | None = None) -> CfgNode:
    """The experiment's config, everything it writes below `root`.

    Args:
        opts: KEY VALUE pairs on top of its YAML; what makes the experiment (K, weights ...) comes after them.
    """
    cfg = load_config(experiment.config, opts)
    share = "all" if experiment.share == 1 else f"{100 * experiment.share:.0f}_percent"
    upper = "_upper" if experiment.upper_body else ""
    cfg.OUTPUT_DIR = str(root / experiment.name)
    cfg.SEED = experiment.seed
    cfg.INPUT.CROP.ENABLED = experiment.crops
    cfg.MODEL.LCRNET.NUM_ANCHOR_POSES = experiment.num_anchor_poses
    cfg.MODEL.LCRNET.UPPER_BODY = experiment.upper_body
    cfg.MODEL.LCRNET.ANCHOR_POSES = str(root / "anchors" / f"{share}_K{experiment.num_anchor_poses}{upper}.npz")
    if experiment.start:
        cfg.MODEL.WEIGHTS = str(root / experiment.start / _WEIGHTS)
    if experiment.share < 1:
        _take_share(cfg, experiment.share)
    return cfg


def _take_share(cfg: CfgNode, share: float) -> None:
    """Trains on a share of the images of the one training set, drawn at random, the same ones every time."""
    (name,) = cfg.DATASETS.TRAIN
    count = round(share * len(DatasetCatalog.get(name)))
    files, part = MetadataCatalog.get(name), f"{name}_{count}"
    cfg.DATASETS.POSE_FILES = [*cfg.DATASETS.POSE_FILES, [part, files.json_file, files.image_root, count]]
    cfg.DATASETS.TRAIN = (part,)


def is_trained(cfg: CfgNode) -> bool:
    """Its final weights are there."""
    return weights_file(cfg).is_file()


def weights_file(cfg: CfgNode) -> Path:
    """Where its final weights are, or will be."""
    return Path(cfg.OUTPUT_DIR) / _WEIGHTS


def ensure_trained(experiment: Experiment, root: Path, opts: list[str], processes: int = 1) -> CfgNode:
    """Trains an experiment unless that is done; one that was interrupted goes on. Returns its config.

    Args:
        processes: on the CPU; on GPUs, how many of them.
    """
    cfg = config_of(experiment, root, opts)
    if not is_trained(cfg):
        print(f"training {experiment.name}: {cfg.SOLVER.MAX_ITER} iterations", flush=True)
        train_config(cfg, processes)
    return cfg


def train_config(cfg: CfgNode, processes: int) -> None:
    """Anchor poses where the config's file is missing, then the training, in so many processes (GPUs)."""
    register_data(cfg)
    _ensure_anchor_poses(cfg)
    launch_processes(_train, (cfg, processes), cfg.MODEL.DEVICE, processes)


def load_model(cfg: CfgNode) -> nn.Module:
    """The experiment's trained model, for inference."""
    register_data(cfg)
    model = LCRNetTrainer.build_model(cfg).eval()
    LCRNetCheckpointer(model).load(str(weights_file(cfg)))
    return model


def register_data(cfg: CfgNode) -> None:
    """The sets made here and those the config names."""
    register_sets()
    register_pose_files(cfg)


def _ensure_anchor_poses(cfg: CfgNode) -> None:
    lcrnet, file = cfg.MODEL.LCRNET, Path(cfg.MODEL.LCRNET.ANCHOR_POSES)
    if file.is_file():
        return
    records = [record for name in cfg.DATASETS.TRAIN for record in DatasetCatalog.get(name)]
    anchors = cluster_known_poses(records, SKELETONS[lcrnet.SKELETON], lcrnet.NUM_ANCHOR_POSES, lcrnet.UPPER_BODY)
    file.parent.mkdir(parents=True, exist_ok=True)
    anchors.save(file)


def _train(cfg: CfgNode, processes: int) -> None:
    """In each process; evaluation comes later."""
    register_data(cfg)
    training = cfg.clone()
    training.DATASETS.TEST, training.TEST.LCRNET.THRESHOLD_DATASET = (), ""
    for name in ("detectron2", "fvcore", "lcrnet_d2"):
        logging.getLogger(name).handlers.clear()  # those of the experiment before
        setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name=name)
    seed_all_rng(max(cfg.SEED, 0) + comm.get_rank())
    start = time.monotonic()
    trainer = LCRNetTrainer(training)
    trainer.resume_or_load(resume=True)
    if trainer.start_iter < trainer.max_iter:
        trainer.train()
    if comm.is_main_process():
        _write_figures(cfg, processes, trainer.max_iter - trainer.start_iter, time.monotonic() - start)


def _write_figures(cfg: CfgNode, processes: int, iterations: int, seconds: float) -> None:
    figures: dict[str, Any] = {
        "iterations": iterations,
        "images_per_iteration": cfg.SOLVER.IMS_PER_BATCH,
        "processes": processes,
        "device": cfg.MODEL.DEVICE,
        "seconds": round(seconds, 1),
        # Linux counts in kB
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    write_json(Path(cfg.OUTPUT_DIR) / TRAINING_FIGURES, figures, indent=1)
