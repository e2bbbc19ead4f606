"""From a config to the benchmarks' evaluators: which protocol is run on which test set (TEST.LCRNET.PROTOCOLS)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from PIL import Image

from ..evaluation import PROTOCOL_NAMES, ProtocolEvaluator, build_protocol
from ..evaluation.mpii import has_groups
from ..evaluation.mupots import read_mupots, report_mupots
from ..evaluation.report import Protocol
from ..placement import PinholeCamera, place_people
from ..structures import SKELETONS, AnchorPoses, Skeleton

_LOGGER = logging.getLogger(__name__)

__all__ = ["MUPOTS", "place_in_camera", "protocol_evaluators", "register_mupots"]

#: Name of the data set that TEST.LCRNET.MUPOTS stands for, and of its protocol.
MUPOTS = "mupots"
_OF_GROUPS = "mpii_multi"


def protocol_evaluators(cfg: CfgNode, dataset_name: str, anchors: AnchorPoses | None) -> list[ProtocolEvaluator]:
    """The evaluators that TEST.LCRNET.PROTOCOLS asks for on a test set; they save into OUTPUT_DIR/inference.

    No score threshold is applied: these protocols take the top-scored detection, rank detections, or do not
    count false positives. "mpii_multi" is left out, with a warning, where a data set has no groups: which people are
    one, MPII's own files say apart from the annotations.

    Args:
        anchors: the model's, for PCKh against rarity.

    Raises:
        ValueError: an entry that is not [data set, protocol], or an unknown protocol.
    """
    evaluators = []
    skeleton = SKELETONS[cfg.MODEL.LCRNET.SKELETON]
    for entry in cfg.TEST.LCRNET.PROTOCOLS:
        if len(entry) != 2 or entry[1] not in (*PROTOCOL_NAMES, MUPOTS):
            known = ", ".join((*PROTOCOL_NAMES, MUPOTS))
            raise ValueError(f"TEST.LCRNET.PROTOCOLS holds {entry}, expected [data set, protocol] with one of {known}")
        name, protocol_name = entry
        if name == dataset_name and not _lacks_groups(name, protocol_name):
            output_dir = Path(cfg.OUTPUT_DIR) / "inference" / name / protocol_name
            protocol = _protocol(cfg, protocol_name, skeleton, anchors)
            evaluators.append(ProtocolEvaluator(name, skeleton, protocol, output_dir=output_dir))
    return evaluators


def _lacks_groups(dataset_name: str, protocol: str) -> bool:
    if protocol != _OF_GROUPS or has_groups(DatasetCatalog.get(dataset_name)):
        return False
    _LOGGER.warning(
        "%s: nobody is in a group, so the protocol %s is left out (datasets/prepare_mpii.py --groups numbers them)",
        dataset_name,
        protocol,
    )
    return True


def _protocol(cfg: CfgNode, name: str, skeleton: Skeleton, anchors: AnchorPoses | None) -> Protocol:
    if name == MUPOTS:
        frames = read_mupots(cfg.TEST.LCRNET.MUPOTS)
        return lambda _, predictions: report_mupots(frames, predictions, skeleton)
    least = cfg.TEST.LCRNET.MIN_JOINTS_SEEN
    return build_protocol(name, skeleton, min_joints_seen=least, anchors=anchors, place=place_in_camera)


def register_mupots(cfg: CfgNode) -> None:
    """Registers the images below TEST.LCRNET.MUPOTS (or beside it), if it is set, as the data set "mupots".

    Its truth is read by the protocol; the dataset dicts name the images only.

    Raises:
        FileNotFoundError: no such folder, or an image that its annotations name is missing.
    """
    path = cfg.TEST.LCRNET.MUPOTS
    if path and MUPOTS not in DatasetCatalog.list():
        DatasetCatalog.register(MUPOTS, partial(_mupots_records, Path(path)))


def _mupots_records(path: Path) -> list[dict[str, Any]]:
    folder = path if path.is_dir() else path.parent
    records = []
    for frame in read_mupots(path):
        file = folder / frame.file_name
        with Image.open(file) as picture:  # reads the header only
            width, height = picture.size
        record = {"file_name": str(file), "image_id": frame.file_name, "width": width, "height": height}
        records.append(record | {"annotations": []})
    return records


def place_in_camera(poses_2d: np.ndarray, poses_3d: np.ndarray, camera: Mapping[str, float]) -> np.ndarray:
    """(F, 3) m: the displacement whose projection fits the 2D pose best (Fig. 7)."""
    pinhole = PinholeCamera(**{key: camera[key] for key in ("fx", "fy", "cx", "cy")})
    return place_people(torch.from_numpy(poses_2d).double(), torch.from_numpy(poses_3d).double(), pinhole).numpy()
