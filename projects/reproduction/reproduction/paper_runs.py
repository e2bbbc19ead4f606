"""The tables and figures on Human3.6M and MPII, where `prepare_human36m.py` and `prepare_mpii.py` have put them.

A run is a config of configs/H36M or configs/MPII. Weights in its OUTPUT_DIR, from tools/train_net.py or from here,
are used, and predictions saved beside them if they are newer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.evaluation import inference_on_dataset

from lcrnet_d2.config import load_config
from lcrnet_d2.engine import LCRNetTrainer
from lcrnet_d2.evaluation import ImagePredictions, ProtocolEvaluator, build_protocol, read_saved_predictions
from lcrnet_d2.evaluation.report import Report, in_order_of
from lcrnet_d2.structures import SKELETONS, AnchorPoses, Skeleton

from .training import is_trained, load_model, register_data, train_config, weights_file

__all__ = ["PAPER", "PaperResult", "PaperRun", "PaperRuns", "is_on_disk"]

_TABLE_1_ITERATIONS = 100_000


@dataclass(frozen=True)
class PaperRun:
    """A row of the table below.

    Attributes:
        title: of its section.
        config: name below the package's configs.
        protocol: of `evaluation.PROTOCOL_NAMES`.
        weights_of: the config it shares the training with; its own if empty.
        num_anchor_poses: K in place of the config's, for Table 1; 0 keeps it.
    """

    title: str
    config: str
    protocol: str
    weights_of: str = ""
    num_anchor_poses: int = 0


_P1 = PaperRun("P1", "H36M/P1_R50-FPN.yaml", "human36m_p1")
_P2 = PaperRun("P2", "H36M/P2_R50-FPN.yaml", "human36m_p2")
_P3 = PaperRun("P3", "H36M/P3_R50-FPN.yaml", "human36m_p3", weights_of=_P2.config)
_MPII = PaperRun("MPII, K = 100", "MPII/K100_R50-FPN.yaml", "mpii_single")

#: target: its runs.
PAPER: dict[str, tuple[PaperRun, ...]] = {
    "table1": tuple(
        PaperRun(f"P1, K = {k}", _P1.config, _P1.protocol, num_anchor_poses=k) for k in (1, 50, 100, 200, 500)
    ),
    "table2": (_P1, _P2, _P3),
    "table3": (_P2,),
    "table4": (_P1, _P2, _MPII),
    "fig5": (_P1,),
    "fig6": (
        _MPII,
        PaperRun("MPII and COCO, K = 100", "MPII/K100_coco_R50-FPN.yaml", _MPII.protocol),
        PaperRun("MPII and COCO, K = 200", "MPII/K200_coco_R50-FPN.yaml", _MPII.protocol),
    ),
}


class PaperResult(NamedTuple):
    """What a run gives: dataset dicts, predictions in their order, the protocol's report."""

    records: list[dict[str, Any]]
    predictions: list[ImagePredictions]
    report: Report
    skeleton: Skeleton
    anchors: AnchorPoses | None


def is_on_disk(run: PaperRun) -> bool:
    """The test set of its config has been prepared."""
    cfg = load_config(run.config)
    files: Mapping[str, str] = {name: json_file for name, json_file, *_ in cfg.DATASETS.POSE_FILES}
    return all(Path(files[name]).is_file() for name in cfg.DATASETS.TEST)


class PaperRuns:
    """Runs of `PAPER`, by need.

    Args:
        root: what is not in a config's own OUTPUT_DIR is written below it.
        opts: config KEY VALUE pairs on top of the configs'.
        processes: to train in; on GPUs, how many of them.
        may_train: otherwise missing weights are an error that says how to make them.
    """

    def __init__(self, root: Path, opts: Sequence[str] = (), processes: int = 1, may_train: bool = False) -> None:
        self.root = root
        self.opts = list(opts)
        self.processes = processes
        self.may_train = may_train
        self.result = cache(self._result)

    def config_of(self, run: PaperRun) -> CfgNode:
        """With the weights, anchor poses and OUTPUT_DIR of the training it uses."""
        cfg = load_config(run.config, self.opts)
        if run.weights_of:
            trained = load_config(run.weights_of, self.opts)
            cfg.OUTPUT_DIR, cfg.MODEL.LCRNET.ANCHOR_POSES = trained.OUTPUT_DIR, trained.MODEL.LCRNET.ANCHOR_POSES
        if run.num_anchor_poses:
            folder = self.root / f"K{run.num_anchor_poses}"
            cfg.OUTPUT_DIR, cfg.MODEL.LCRNET.ANCHOR_POSES = str(folder), str(folder / "anchor_poses.npz")
            cfg.MODEL.LCRNET.NUM_ANCHOR_POSES = run.num_anchor_poses
            shorter = _TABLE_1_ITERATIONS / cfg.SOLVER.MAX_ITER
            if shorter < 1:
                cfg.SOLVER.MAX_ITER = _TABLE_1_ITERATIONS
                cfg.SOLVER.STEPS = tuple(round(shorter * step) for step in cfg.SOLVER.STEPS)
        return cfg

    def has_weights(self, run: PaperRun) -> bool:
        return is_trained(self.config_of(run))

    def has_training_data(self, run: PaperRun) -> bool:
        cfg = self.config_of(run)
        files = {name: json_file for name, json_file, *_ in cfg.DATASETS.POSE_FILES}
        return all(Path(files[name]).is_file() for name in cfg.DATASETS.TRAIN)

    def _result(self, run: PaperRun) -> PaperResult:
        cfg = self.config_of(run)
        register_data(cfg)
        if not is_trained(cfg):
            self._train(run, cfg)
        skeleton = SKELETONS[cfg.MODEL.LCRNET.SKELETON]
        (name,) = cfg.DATASETS.TEST
        file = Path(cfg.OUTPUT_DIR) / "inference" / name / run.protocol / "pose_predictions.json"
        anchor_file = Path(cfg.MODEL.LCRNET.ANCHOR_POSES)
        anchors = AnchorPoses.load(anchor_file) if anchor_file.is_file() else None
        protocol = build_protocol(run.protocol, skeleton, anchors=anchors)
        # A training that was stopped at its last evaluation leaves final weights and an earlier model's predictions.
        if not file.is_file() or file.stat().st_mtime < weights_file(cfg).stat().st_mtime:
            evaluator = ProtocolEvaluator(name, skeleton, protocol, output_dir=file.parent)
            inference_on_dataset(load_model(cfg), LCRNetTrainer.build_test_loader(cfg, name), evaluator)
        records = DatasetCatalog.get(name)
        saved = read_saved_predictions(file, skeleton, records)
        predictions = in_order_of(records, saved, len(skeleton))
        return PaperResult(records, predictions, protocol(records, predictions), skeleton, anchors)

    def _train(self, run: PaperRun, cfg: CfgNode) -> None:
        if not self.may_train:
            raise FileNotFoundError(
                f"{run.title}: no trained weights at {cfg.OUTPUT_DIR}/model_final.pth. Train them with "
                f"tools/train_net.py --config-file configs/{run.weights_of or run.config} OUTPUT_DIR {cfg.OUTPUT_DIR}, "
                "or let --train do it (days without a GPU)"
            )
        if run.weights_of:  # its own config names the training set; the test set differs only
            train_config(load_config(run.weights_of, self.opts), self.processes)
        else:
            train_config(cfg, self.processes)
