"""Trains a config, once: anchor poses and weights that are there already are used again."""

from __future__ import annotations

import logging
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger
from torch import nn

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.data.anchor_clustering import cluster_known_poses
from lcrnet_d2.data.datasets.builtin import register_pose_files
from lcrnet_d2.engine import LCRNetTrainer
from lcrnet_d2.launch import launch_processes
from lcrnet_d2.structures import SKELETONS

__all__ = ["is_trained", "load_model", "register_data", "train_config", "weights_file"]

_WEIGHTS = "model_final.pth"


def is_trained(cfg: CfgNode) -> bool:
    """Its final weights are there."""
    return weights_file(cfg).is_file()


def weights_file(cfg: CfgNode) -> Path:
    """Where its final weights are, or will be."""
    return Path(cfg.OUTPUT_DIR) / _WEIGHTS


def train_config(cfg: CfgNode, processes: int) -> None:
    """Anchor poses where the config's file is missing, then the training, in so many processes (GPUs)."""
    register_data(cfg)
    _ensure_anchor_poses(cfg)
    launch_processes(_train, (cfg,), cfg.MODEL.DEVICE, processes)


def load_model(cfg: CfgNode) -> nn.Module:
    """The trained model, for inference."""
    register_data(cfg)
    model = LCRNetTrainer.build_model(cfg).eval()
    LCRNetCheckpointer(model).load(str(weights_file(cfg)))
    return model


def register_data(cfg: CfgNode) -> None:
    """The sets that the config names."""
    register_pose_files(cfg)


def _ensure_anchor_poses(cfg: CfgNode) -> None:
    lcrnet, file = cfg.MODEL.LCRNET, Path(cfg.MODEL.LCRNET.ANCHOR_POSES)
    if file.is_file():
        return
    records = [record for name in cfg.DATASETS.TRAIN for record in DatasetCatalog.get(name)]
    anchors = cluster_known_poses(records, SKELETONS[lcrnet.SKELETON], lcrnet.NUM_ANCHOR_POSES, lcrnet.UPPER_BODY)
    file.parent.mkdir(parents=True, exist_ok=True)
    anchors.save(file)


def _train(cfg: CfgNode) -> None:
    """In each process; evaluation comes later."""
    register_data(cfg)
    training = cfg.clone()
    training.DATASETS.TEST, training.TEST.LCRNET.THRESHOLD_DATASET = (), ""
    for name in ("detectron2", "fvcore", "lcrnet_d2"):
        logging.getLogger(name).handlers.clear()  # those of the experiment before
        setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name=name)
    seed_all_rng(max(cfg.SEED, 0) + comm.get_rank())
    trainer = LCRNetTrainer(training)
    trainer.resume_or_load(resume=True)
    if trainer.start_iter < trainer.max_iter:
        trainer.train()
