"""Images in, people out: a trained model ready to use."""

from __future__ import annotations

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling import build_model
from detectron2.structures import Instances

from .checkpoint import LCRNetCheckpointer

__all__ = ["PosePredictor"]


class PosePredictor:
    """Finds everyone's 2D and 3D pose in pictures.

    Raises:
        ValueError: weights that do not fit the config; RuntimeError: weights without anchor poses.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self.model = build_model(cfg).eval()
        LCRNetCheckpointer(self.model).load(cfg.MODEL.WEIGHTS)
        self.model.roi_heads.box_predictor.check_anchor_poses()
        self.resize = T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
        self.image_format = cfg.INPUT.FORMAT
        integration = cfg.MODEL.LCRNET.INTEGRATION
        self.score_threshold = integration["SCORE_THRESH_" + integration.METHOD.upper()]

    @torch.no_grad()
    def __call__(self, images: list[np.ndarray]) -> list[Instances]:
        """
        Args:
            images: (H, W, 3) uint8 in `self.image_format`, of any sizes.

        Returns:
            per image the people of at least the config's score, in its own pixels (fields: modeling/roi_heads.py,
            `people_to_instances`).
        """
        inputs = []
        for image in images:
            height, width = image.shape[:2]
            small = self.resize.get_transform(image).apply_image(image)
            tensor = torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))
            inputs.append({"image": tensor, "height": height, "width": width})
        people = [out["instances"].to("cpu") for out in self.model(inputs)]
        return [found[found.scores >= self.score_threshold] for found in people]
