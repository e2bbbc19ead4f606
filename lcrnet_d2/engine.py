"""Training and evaluation: Detectron2's DefaultTrainer with LCR-Net's mapper, evaluators and hooks."""

from __future__ import annotations

# Detectron2's @configurable hides the keyword arguments of what it wraps.
# pyright: reportCallIssue=false, reportOptionalCall=false
import logging
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from detectron2.engine import AMPTrainer, DefaultTrainer, HookBase, SimpleTrainer, TrainerBase, hooks
from detectron2.evaluation import DatasetEvaluators, inference_on_dataset, print_csv_format
from detectron2.solver.build import get_default_optimizer_params
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from detectron2.utils.logger import setup_logger
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .checkpoint import BEST_CHECKPOINT, LCRNetCheckpointer, without_wrapper
from .data import LCRNetDatasetMapper, load_anchor_poses
from .evaluation import COCOKeypointEvaluator, PoseEvaluator
from .modeling import prepared_for_inference, with_test_time_augmentation
from .pose_lifting import WithPoseLifting, build_pose_lifting
from .prediction_cache import PredictionCache, inference_settings
from .structures import SKELETONS, AnchorPoses
from .training.finite_steps import GradientCheck, LossCheck, diagnose_nonfinite_step
from .training.gradient_clipping import add_gradient_clipping
from .training.hooks import ImageHook, ResumableBestCheckpointer
from .training.protocol_choice import protocol_evaluators, register_mupots
from .training.repeatable import IterationSeeds, build_repeatable_loader
from .training.shared_statistics import SharedStatistics, measured_statistics
from .training.weight_average import WeightAverage

#: Parameters that SOLVER.BACKBONE_MULTIPLIER concerns.
_PRETRAINED = ("backbone.bottom_up.", "backbone.joint_map.", "roi_heads.joint_head.")

__all__ = ["LCRNetTrainer", "evaluate_model", "mean_training_pose"]


class LCRNetTrainer(DefaultTrainer):
    """DefaultTrainer for LCR-Net.

    Raises:
        ValueError: at the start for a frozen backbone without weights, and when loading weights or
            anchor poses that do not fit the config or each other.
    """

    def __init__(self, cfg: CfgNode) -> None:
        # As DefaultTrainer's, which cannot distribute over CPUs and has another checkpointer.
        TrainerBase.__init__(self)
        check_config(cfg)
        if not logging.getLogger("detectron2").isEnabledFor(logging.INFO):
            setup_logger()
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        loader = self.build_train_loader(cfg)
        distributed = _distributed(model)  # gives every process the first one's random layers, which are averaged
        decay = cfg.SOLVER.AVERAGE_DECAY
        self.average = WeightAverage(model, decay) if decay > 0 else None
        self._loss_check = LossCheck(model)
        trainer = AMPTrainer if cfg.SOLVER.AMP.ENABLED else SimpleTrainer
        self._trainer = trainer(distributed, loader, optimizer)
        if not cfg.SOLVER.AMP.ENABLED:
            self._trainer.register_hooks([GradientCheck(distributed, self._loss_check)])
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = LCRNetCheckpointer(
            self.evaluated_model, cfg.OUTPUT_DIR, new_head=cfg.MODEL.LCRNET.NEW_HEAD, trainer=weakref.proxy(self)
        )
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    @property
    def evaluated_model(self) -> nn.Module:
        """The averaged weights (SOLVER.AVERAGE_DECAY), or those in training: what checkpoints hold as the model."""
        return self._trainer.model if self.average is None else self.average.model

    def resume_or_load(self, resume: bool = True) -> None:
        """As DefaultTrainer's; afterwards the model's anchor poses are those that label the training data."""
        self.checkpointer.new_head = self.cfg.MODEL.LCRNET.NEW_HEAD and not (
            resume and self.checkpointer.has_checkpoint()
        )
        super().resume_or_load(resume)
        anchors = load_anchor_poses(self.cfg)
        outputs = without_wrapper(self.evaluated_model).roi_heads.box_predictor
        if not torch.isfinite(outputs.anchor_poses_3d).all():
            outputs.set_anchor_poses(anchors)
        outputs.check_anchor_poses(anchors)
        if self.average is not None and not self.average.is_resumed:
            self.average.start_from_average()

    def run_step(self) -> None:
        """
        Raises:
            FloatingPointError: losses or gradients that are not finite, before the weights are changed; the
                message names iteration, images and annotation.
        """
        try:
            super().run_step()
        except FloatingPointError as error:
            dataset = self._trainer.data_loader.dataset
            where = diagnose_nonfinite_step(self._trainer.model, self._loss_check.records, dataset, self.iter)
            raise FloatingPointError(f"{error} {where}") from error

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """SGD as in the paper's framework, or AdamW, which gets further in short schedules (SOLVER.OPTIMIZER)."""
        optimizer = cls._build_optimizer(cfg, model)
        add_gradient_clipping(cfg, optimizer)
        return optimizer

    @classmethod
    def _build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        if cfg.SOLVER.OPTIMIZER == "SGD":
            without_clipping = cfg.clone()
            without_clipping.SOLVER.CLIP_GRADIENTS.ENABLED = False
            return super().build_optimizer(without_clipping, model)
        if cfg.SOLVER.OPTIMIZER != "ADAMW":
            raise ValueError(f"SOLVER.OPTIMIZER is {cfg.SOLVER.OPTIMIZER!r}, expected 'SGD' or 'ADAMW'")
        slower = cfg.SOLVER.BACKBONE_MULTIPLIER
        parameters = get_default_optimizer_params(
            model,
            base_lr=cfg.SOLVER.BASE_LR,
            bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
            weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
            weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
            lr_factor_func=lambda name: slower if name.startswith(_PRETRAINED) else 1.0,
        )
        return torch.optim.AdamW(parameters, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        return build_repeatable_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        return build_detection_test_loader(cfg, dataset_name, mapper=LCRNetDatasetMapper(cfg, False))

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module, evaluators: Any = None) -> OrderedDict[str, Any]:
        """Evaluates on every data set of DATASETS.TEST; see `evaluate_model`."""
        return evaluate_model(cfg, model)

    def build_hooks(self) -> list[HookBase | None]:
        """All hooks, in the order they run in.

        The checkpoint to resume from is written after the evaluation: it knows what that gave, and where one was
        interrupted it is made again. The writer is last: it writes what the others measured.
        """
        cfg, period, order = self.cfg, self.cfg.TEST.EVAL_PERIOD, self._trainer.data_loader.batch_sampler
        every: list[HookBase | None] = [
            IterationSeeds(order),
            SharedStatistics(self._trainer.model),
            self.average,
            measured_statistics(cfg, without_wrapper(self.evaluated_model), order),
            hooks.IterationTimer(),
            hooks.LRScheduler(),
            hooks.EvalHook(period, self._evaluate),
        ]
        if comm.is_main_process():
            if period > 0 and cfg.DATASETS.TEST:
                metric = best_metric_name(cfg)
                best = ResumableBestCheckpointer(period, self.checkpointer, metric, "min", BEST_CHECKPOINT)
                every += [best, ImageHook(cfg, self.evaluated_model, period)]
            every.append(hooks.PeriodicCheckpointer(self.checkpointer, cfg.SOLVER.CHECKPOINT_PERIOD))
            every.append(hooks.PeriodicWriter(self.build_writers(), period=20))
        return [hook for hook in every if hook is not None]

    def _evaluate(self) -> OrderedDict[str, Any]:
        self._last_eval_results = self.test(self.cfg, self.evaluated_model)
        return self._last_eval_results


def _distributed(model: nn.Module) -> nn.Module:
    """The model, made to share gradients where there are several processes, on GPUs (NCCL) or CPUs (gloo)."""
    if comm.get_world_size() == 1:
        return model
    devices = [comm.get_local_rank()] if next(model.parameters()).is_cuda else None
    return DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False)


def best_metric_name(cfg: CfgNode) -> str:
    """Name in the event storage of what the best checkpoint is judged by: PPI's MPJPE, in mm.

    On the first of DATASETS.TEST: in training, name validation data there.
    """
    prefix = f"{cfg.DATASETS.TEST[0]}/" if len(cfg.DATASETS.TEST) > 1 else ""
    return f"{prefix}pose_ppi/mpjpe_mm"


def check_config(cfg: CfgNode) -> None:
    """Refuses what would silently train on rubbish: frozen layers never initialised."""
    if cfg.MODEL.WEIGHTS:
        return
    frozen = {
        "MODEL.BACKBONE.FREEZE_AT": cfg.MODEL.BACKBONE.FREEZE_AT > 0 and "inverted" not in cfg.MODEL.BACKBONE.NAME,
        "MODEL.RESNETS.NORM FrozenBN": "resnet" in cfg.MODEL.BACKBONE.NAME and cfg.MODEL.RESNETS.NORM == "FrozenBN",
        "MODEL.INVERTED_RESIDUALS.FREEZE_BLOCKS": "inverted" in cfg.MODEL.BACKBONE.NAME
        and cfg.MODEL.INVERTED_RESIDUALS.FREEZE_BLOCKS >= 0,
    }
    named = [key for key, is_frozen in frozen.items() if is_frozen]
    if named:
        raise ValueError(
            f"MODEL.WEIGHTS is empty, but {' and '.join(named)} would freeze random weights; "
            "give pretrained weights, or freeze nothing"
        )


def evaluate_model(cfg: CfgNode, model: nn.Module, thresholds: dict[str, float] | None = None) -> OrderedDict[str, Any]:
    """Evaluates NMS and PPI from one pass over each data set of DATASETS.TEST.

    Args:
        thresholds: as of `score_thresholds`; None: chosen so, without asking the model twice for the same images.

    Returns:
        {task: {metric: float}}, or {data set: {task: ...}} for several.

    Raises:
        ValueError: INTEGRATION.METHOD "nms", whose output says nothing of PPI; anchor poses that are not the
            model's.
    """
    if cfg.MODEL.LCRNET.INTEGRATION.METHOD != "ppi":
        raise ValueError("evaluation compares NMS with PPI from one pass: set MODEL.LCRNET.INTEGRATION.METHOD ppi")
    register_mupots(cfg)
    anchors = anchors_of(cfg, model)
    results: OrderedDict[str, Any] = OrderedDict()
    with _evaluation_cache(cfg, model) as cache:
        thresholds = _chosen_thresholds(cfg, cache) if thresholds is None else thresholds
        for name in cfg.DATASETS.TEST:
            loader = LCRNetTrainer.build_test_loader(cfg, name)
            evaluators = build_evaluators(cfg, name, thresholds, anchors)
            results[name] = inference_on_dataset(_lifted(cfg, cache), loader, evaluators)
            if comm.is_main_process():
                print_csv_format(results[name])
        comm.synchronize()  # the others are done with predicting before the first is with judging
        cache.remove()
    return results if len(results) != 1 else next(iter(results.values()))


def score_thresholds(cfg: CfgNode, model: nn.Module) -> dict[str, float]:
    """{"nms": ..., "ppi": ...}: from the config, or chosen on TEST.LCRNET.THRESHOLD_DATASET."""
    with _evaluation_cache(cfg, model) as cache:
        thresholds = _chosen_thresholds(cfg, cache)
        comm.synchronize()
        cache.remove()
    return thresholds


def _chosen_thresholds(cfg: CfgNode, network: nn.Module) -> dict[str, float]:
    node = cfg.MODEL.LCRNET.INTEGRATION
    name = cfg.TEST.LCRNET.THRESHOLD_DATASET
    if not name:
        return {"nms": node.SCORE_THRESH_NMS, "ppi": node.SCORE_THRESH_PPI}
    skeleton = SKELETONS[cfg.MODEL.LCRNET.SKELETON]
    evaluator = PoseEvaluator(name, skeleton, min_joints_seen=cfg.TEST.LCRNET.MIN_JOINTS_SEEN)
    inference_on_dataset(network, LCRNetTrainer.build_test_loader(cfg, name), evaluator)
    chosen = evaluator.choose_thresholds(cfg.TEST.LCRNET.MAX_FALSE_POSITIVES)
    logging.getLogger(__name__).info("Score thresholds chosen on %s: %s", name, chosen)
    return {"nms": chosen.nms.score, "ppi": chosen.ppi.score}


def _evaluation_cache(cfg: CfgNode, model: nn.Module) -> PredictionCache:
    """In files where TEST.LCRNET.PREDICTION_CACHE asks for them: to name them, all weights are hashed."""
    network = with_test_time_augmentation(cfg, prepared_for_inference(without_wrapper(model)))
    in_files = cfg.TEST.LCRNET.PREDICTION_CACHE
    folder = Path(cfg.OUTPUT_DIR) / "inference" if in_files else None
    return PredictionCache(network, folder, inference_settings(cfg) if in_files else "")


def _lifted(cfg: CfgNode, network: nn.Module) -> nn.Module:
    """The network itself, or with TEST.LCRNET.LIFTER what stands in for it."""
    lifting = build_pose_lifting(cfg)
    return network if lifting is None else WithPoseLifting(network, lifting)


def anchors_of(cfg: CfgNode, model: nn.Module) -> AnchorPoses | None:
    """The anchor poses for the baselines: those of the file, which must be the model's; None where there is no file."""
    if not PathManager.isfile(cfg.MODEL.LCRNET.ANCHOR_POSES):
        logging.getLogger(__name__).warning(
            "No file at MODEL.LCRNET.ANCHOR_POSES (%r): the baselines mean pose and anchor pose are left out",
            cfg.MODEL.LCRNET.ANCHOR_POSES,
        )
        return None
    anchors = load_anchor_poses(cfg)
    without_wrapper(model).roi_heads.box_predictor.check_anchor_poses(anchors)
    return anchors


def build_evaluators(
    cfg: CfgNode, dataset_name: str, thresholds: dict[str, float], anchors: AnchorPoses | None
) -> DatasetEvaluators:
    """2D + 3D pose metrics, COCO's keypoint AP of the same predictions, and the benchmarks the config asks for."""
    skeleton = SKELETONS[cfg.MODEL.LCRNET.SKELETON]
    output_dir = Path(cfg.OUTPUT_DIR) / "inference" / dataset_name
    of_mirror_images = cfg.TEST.AUG.ENABLED and cfg.TEST.AUG.FLIP  # classes then say nothing of the picture itself
    poses = PoseEvaluator(
        dataset_name,
        skeleton,
        nms_score_threshold=thresholds["nms"],
        ppi_score_threshold=thresholds["ppi"],
        mean_pose=None if anchors is None else mean_training_pose(anchors),
        anchors=None if of_mirror_images else anchors,
        min_joints_seen=cfg.TEST.LCRNET.MIN_JOINTS_SEEN,
        output_dir=output_dir,
    )
    benchmarks = protocol_evaluators(cfg, dataset_name, anchors)
    return DatasetEvaluators([poses, COCOKeypointEvaluator(dataset_name, skeleton), *benchmarks])


def mean_training_pose(anchors: AnchorPoses) -> np.ndarray:
    """(J, 3) m: mean of the anchor poses, each counted as often as its cluster has poses: the trivial baseline."""
    weights = anchors.cluster_sizes.double() / anchors.cluster_sizes.sum()
    full = anchors.poses_3d[: anchors.num_full_body].double()
    return (weights[:, None, None] * full).sum(0).numpy()
