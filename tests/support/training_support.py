"""A training small enough for tests, and what it went through."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import nn

from lcrnet_d2.config import load_config
from lcrnet_d2.data.anchor_clustering import cluster_poses
from lcrnet_d2.data.datasets.builtin import register_pose_file
from lcrnet_d2.engine import LCRNetTrainer
from lcrnet_d2.structures import BODY13, AnchorPoses, Skeleton
from tests_support import needs_lite_weights, random_poses, seen_at, write_tiny_set


def tiny_config(folder: Path, skeleton: Skeleton = BODY13) -> CfgNode:
    """Six small pictures, K = 4, a narrow network."""
    needs_lite_weights()
    name = f"tiny_{skeleton.name}_{folder.name}"
    register_pose_file(name, write_tiny_set(folder / "set", skeleton=skeleton), folder / "set", skeleton)
    poses = random_poses(60, 0, skeleton)
    cluster_poses(seen_at(poses, 0, 0, 50), poses, skeleton, 4, True, 0).save(folder / "anchors.npz")
    opts = ["MODEL.LCRNET.NUM_ANCHOR_POSES", 4, "MODEL.LCRNET.UPPER_BODY", True, "MODEL.FPN.OUT_CHANNELS", 16]
    opts += ["MODEL.LCRNET.SKELETON", skeleton.name, "MODEL.LCRNET.ANCHOR_POSES", str(folder / "anchors.npz")]
    opts += ["MODEL.ROI_BOX_HEAD.FC_DIM", 32, "INPUT.MIN_SIZE_TRAIN", (96,), "INPUT.MIN_SIZE_TEST", 96]
    opts += ["DATASETS.TRAIN", (name,), "DATASETS.TEST", (name,), "TEST.LCRNET.THRESHOLD_DATASET", ""]
    opts += ["SOLVER.IMS_PER_BATCH", 2, "SOLVER.CHECKPOINT_PERIOD", 2, "OUTPUT_DIR", str(folder / "out")]
    return load_config("quick_schedules/lcrnet_lite0_demo.yaml", [*opts, "SEED", 1])


def new_trainer(cfg: CfgNode, resume: bool = False, **solver: Any) -> LCRNetTrainer:
    """Ready to train; with values of SOLVER changed, and without evaluation unless TEST.EVAL_PERIOD asks for it."""
    for key, value in solver.items():
        cfg.SOLVER[key] = value
    cfg.DATASETS.TEST = cfg.DATASETS.TEST if cfg.TEST.EVAL_PERIOD else ()
    trainer = LCRNetTrainer(cfg)
    trainer.resume_or_load(resume)
    return trainer


def untrained_model(cfg: CfgNode) -> nn.Module:
    model = LCRNetTrainer.build_model(cfg)
    model.roi_heads.box_predictor.set_anchor_poses(AnchorPoses.load(cfg.MODEL.LCRNET.ANCHOR_POSES))
    return model


class Diary(HookBase):
    """Notes the loss of every iteration; raises KeyboardInterrupt after `stop_after`, before anything is saved."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.losses: dict[int, float] = {}

    def after_step(self) -> None:
        if comm.is_main_process():  # the others know only their own part of the loss
            self.losses[self.trainer.iter] = self.trainer.storage.latest()["total_loss"][0]
        if self.trainer.iter == self.stop_after:
            raise KeyboardInterrupt


def train(cfg: CfgNode, resume: bool = False, stop_after: int | None = None) -> tuple[LCRNetTrainer, dict[int, float]]:
    """The trainer and the loss of each iteration."""
    trainer = LCRNetTrainer(cfg)
    diary = Diary(stop_after)
    diary.trainer = trainer
    trainer._hooks.insert(0, diary)
    trainer.resume_or_load(resume)
    with suppress(KeyboardInterrupt):
        trainer.train()
    return trainer, diary.losses
