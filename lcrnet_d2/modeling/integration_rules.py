"""The rules of pose proposals integration (Sec. 3.5), as a config has them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from detectron2.config import CfgNode

__all__ = ["Rules"]


@dataclass(frozen=True)
class Rules:
    """The rules of the integration (Sec. 3.5), as `integrate_pose_proposals` explains them.

    Attributes:
        t_3d: m, of Eq. 6.
        iou_threshold: of the boxes around the 2D joints.
        clip_boxes: to the image, before they are compared.
    """

    t_3d: float
    iou_threshold: float
    clip_boxes: bool = True
    all_modes: bool = False
    min_seed_score: float = 0.05
    min_mode_score: float = 0.002
    lower_body_weight: float = 0.1

    @classmethod
    def of_config(cls, cfg: CfgNode) -> Rules:
        """Those that the network of this config integrates by."""
        node = cfg.MODEL.LCRNET.INTEGRATION
        return cls(
            t_3d=node.T_3D,
            iou_threshold=node.IOU_THRESH,
            clip_boxes=node.CLIP_BOXES,
            all_modes=node.ALL_MODES,
            min_seed_score=node.MIN_SEED_SCORE,
            min_mode_score=node.MIN_MODE_SCORE,
            lower_body_weight=node.LOWER_BODY_WEIGHT,
        )

    def keywords(self) -> dict[str, Any]:
        """Those that `integrate_pose_proposals` and `integrate_batch` take by name: all but `clip_boxes`."""
        return {name: value for name, value in asdict(self).items() if name != "clip_boxes"}
