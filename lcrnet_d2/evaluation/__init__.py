"""Metrics, and evaluators for Detectron2's `inference_on_dataset`. They know no model and no data set."""

from .alignment import align_poses
from .coco import COCOKeypointEvaluator
from .matching import ScoreThreshold, choose_score_threshold
from .metrics import auc_3d, bootstrap_interval, head_size, mean_2d_error, mpjpe, pck_2d, pck_3d, pckh
from .people import ImagePredictions, ImageTruth, PredictedPeople, predictions_from_instances, truth_from_dict
from .pose_evaluator import MethodThresholds, PoseEvaluator, evaluate_predictions
from .predictions import load_predictions, read_saved_predictions, save_predictions
from .protocols import PROTOCOL_NAMES, ProtocolEvaluator, build_protocol
from .report import Report

__all__ = [
    "COCOKeypointEvaluator",
    "ImagePredictions",
    "ImageTruth",
    "MethodThresholds",
    "PROTOCOL_NAMES",
    "PoseEvaluator",
    "PredictedPeople",
    "ProtocolEvaluator",
    "Report",
    "ScoreThreshold",
    "align_poses",
    "auc_3d",
    "bootstrap_interval",
    "build_protocol",
    "choose_score_threshold",
    "evaluate_predictions",
    "head_size",
    "load_predictions",
    "mean_2d_error",
    "mpjpe",
    "pck_2d",
    "pck_3d",
    "pckh",
    "predictions_from_instances",
    "read_saved_predictions",
    "save_predictions",
    "truth_from_dict",
]
