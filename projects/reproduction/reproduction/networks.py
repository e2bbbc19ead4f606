"""Trained heads back in the network: heat maps, the backbone trained with them, and real photos.

Shapes: N people to be found, J joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from tqdm import tqdm

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.data import LCRNetDatasetMapper
from lcrnet_d2.evaluation import (
    ImagePredictions,
    ImageTruth,
    PredictedPeople,
    predictions_from_instances,
    truth_from_dict,
)
from lcrnet_d2.evaluation.matching import find_people
from lcrnet_d2.evaluation.photos import count_people, person_scores
from lcrnet_d2.evaluation.report import detected_people
from lcrnet_d2.predictor import PosePredictor
from lcrnet_d2.structures import Skeleton

from .heads import HeadPlan
from .people_errors import people_to_find
from .study import Study
from .training import train_config

__all__ = ["assemble", "joint_errors", "joint_kinds", "photo_scores", "predict", "train_whole"]


def assemble(study: Study, plan: HeadPlan) -> CfgNode:
    """The config of the network with a trained head in it; its weights are written below the study's folder."""
    cfg = study.cfg
    cfg.MODEL.LCRNET.NUM_ANCHOR_POSES, cfg.MODEL.LCRNET.UPPER_BODY = plan.k, plan.upper
    cfg.MODEL.LCRNET.INTEGRATION.T_3D = study.result(plan)["t_3d"]
    cfg.OUTPUT_DIR = str(study.folder / "networks" / plan.name)
    weights = study.weights or cfg.MODEL.WEIGHTS
    cfg.MODEL.WEIGHTS = str(Path(cfg.OUTPUT_DIR) / "start.pth")
    if not Path(cfg.MODEL.WEIGHTS).is_file():
        network: Any = build_model(cfg)
        LCRNetCheckpointer(network, new_head=True).load(weights)
        heads, basis = study.trained_heads(plan), study.basis()
        shared = heads.box_head.state_dict()
        network.roi_heads.box_head.load_state_dict(shared | {"fc1.weight": shared["fc1.weight"] @ basis.T})
        network.roi_heads.box_predictor.load_state_dict(heads.box_predictor.state_dict())
        Path(cfg.OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
        LCRNetCheckpointer(network, cfg.OUTPUT_DIR).save("start")
        study.anchors(plan).save(Path(cfg.OUTPUT_DIR) / "anchors.npz")
    cfg.MODEL.LCRNET.ANCHOR_POSES = str(Path(cfg.OUTPUT_DIR) / "anchors.npz")
    return cfg


def train_whole(study: Study, cfg: CfgNode, iterations: int) -> CfgNode:
    """Trains backbone, RPN, heads and heat maps further, on the study's scenes; the config of what comes out."""
    cfg = cfg.clone()
    cfg.OUTPUT_DIR += "/whole"
    cfg.DATASETS.POSE_FILES = [
        [f"findings_train_{i}", str(root / "annotations.json"), str(root)] for i, root in enumerate(study.sets["train"])
    ]
    cfg.DATASETS.TRAIN, cfg.DATASETS.TRAIN_REPEAT_FACTOR = tuple(n for n, *_ in cfg.DATASETS.POSE_FILES), []
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.BASE_LR = iterations, 8, 3e-4
    cfg.SOLVER.WARMUP_ITERS, cfg.SOLVER.AVERAGE_DECAY, cfg.SOLVER.CHECKPOINT_PERIOD = iterations // 10, 0.98, 50
    cfg.TEST.EVAL_PERIOD, cfg.DATALOADER.NUM_WORKERS = 0, 0
    train_config(cfg, 1)
    cfg.MODEL.WEIGHTS = str(Path(cfg.OUTPUT_DIR) / "model_final.pth")
    return cfg


@torch.no_grad()
def predict(cfg: CfgNode, weights: str | None, records: Sequence[Mapping[str, Any]]) -> list[ImagePredictions]:
    """What a network finds in images: NMS, PPI and PPI with heat maps, from one pass."""
    network, mapper = PosePredictor(cfg, weights, "cpu").network, LCRNetDatasetMapper(cfg, False)  # pyright: ignore[reportCallIssue]
    out = []
    for record in tqdm(records, desc="images"):
        (found,) = network([mapper(dict(record))])
        out.append(predictions_from_instances(record, found["instances"]))
    return out


def joint_kinds(records: Sequence[Mapping[str, Any]], truths: Sequence[ImageTruth]) -> np.ndarray:
    """(N, J): 2 a joint that is seen, 1 hidden, 0 outside the image."""
    people = people_to_find(truths)
    seen = [np.reshape(records[i]["annotations"][m]["keypoints"], (-1, 3))[:, 2] for i, m in people]
    inside = [truths[i].annotated_2d[m] for i, m in people]
    return np.where(inside, np.array(seen), 0).astype(int)


def joint_errors(truths: Sequence[ImageTruth], detected: Sequence[PredictedPeople], skeleton: Skeleton) -> np.ndarray:
    """(N, J) distance in 2D over the square root of the person's box; NaN for people not found."""
    place_of = {key: place for place, key in enumerate(people_to_find(truths))}
    found = find_people(truths, detected)
    out = np.full((len(place_of), len(skeleton)), np.nan)
    sizes = np.sqrt(np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1))
    distances = np.linalg.norm(found.detected.poses_2d - found.true_2d, axis=-1) / sizes[:, None]
    for key, of_person in zip(map(tuple, found.keys.tolist()), distances, strict=True):
        if key in place_of:
            out[place_of[key]] = of_person
    return out


def photo_scores(
    records: Sequence[Mapping[str, Any]],
    predictions: Sequence[ImagePredictions],
    thresholds: Mapping[str, float],
    skeleton: Skeleton,
) -> dict[str, dict[str, Any]]:
    """By method of `thresholds`, of people in photos: found and PCK of all by person, false alarms an image."""
    truths = [count_people(truth_from_dict(record, len(skeleton)), skeleton) for record in records]
    out = {}
    for method, least in thresholds.items():
        scores = person_scores(truths, [detected_people(p, method, least) for p in predictions], skeleton)
        of_method = {"found": scores.is_found.astype(float).tolist(), "pck": scores.pck.tolist()}
        out[method] = of_method | {"unmatched": scores.num_unmatched / max(1, len(truths))}
    return out
