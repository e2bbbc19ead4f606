"""A small LCR-Net with random weights: it finds people everywhere, which is what tests of predictors and tools want."""

from __future__ import annotations

from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from lcrnet_d2.checkpoint import LCRNetCheckpointer
from lcrnet_d2.config import load_config
from lcrnet_d2.structures import AnchorPoses

CONFIG = "Base-LCRNet-Lite0-FPN.yaml"
#: KEY VALUE pairs that make it small; K = 4 with upper bodies, as the fixture `anchors` has it.
OPTS = ["MODEL.LCRNET.NUM_ANCHOR_POSES", "4", "MODEL.LCRNET.UPPER_BODY", "True", "MODEL.FPN.OUT_CHANNELS", "8"]
OPTS += ["MODEL.ROI_BOX_HEAD.FC_DIM", "8", "MODEL.DEVICE", "cpu"]
OPTS += ["INPUT.MIN_SIZE_TEST", "96", "INPUT.MAX_SIZE_TEST", "160"]


def save_random_model(folder: Path, anchors: AnchorPoses) -> Path:
    """The weights' file. Its class scores differ enough that no two are told apart by rounding."""
    torch.manual_seed(0)
    model = build_model(load_config(CONFIG, OPTS))
    outputs = model.roi_heads.box_predictor
    outputs.set_anchor_poses(anchors)
    torch.nn.init.normal_(outputs.cls_score.weight, std=0.5)
    LCRNetCheckpointer(model, str(folder)).save("model")
    return folder / "model.pth"


def small_config(weights: Path, score_threshold: float = 0.0) -> CfgNode:
    cfg = load_config(CONFIG, [*OPTS, "MODEL.WEIGHTS", str(weights)])
    cfg.MODEL.LCRNET.INTEGRATION.SCORE_THRESH_PPI = score_threshold
    return cfg
