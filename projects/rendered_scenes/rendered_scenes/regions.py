"""Where on the template a vertex lies, as the shader's clothes want it: share of the arm, and whether it is one."""

from __future__ import annotations

import numpy as np

from .body_model import BodyModel

__all__ = ["arm_coordinates"]

_ARM = ("upperarm", "lowerarm", "wrist", "finger", "metacarpal")


def arm_coordinates(model: BodyModel) -> np.ndarray:
    """(V, 2) float32: share of the way from shoulder (0) over elbow (0.5) to wrist (1) and beyond, and the weight of
    the arm's bones there (1: arm, 0: trunk). On the trunk the share is below 0."""
    of_arm = [index for index, bone in enumerate(model.bones) if bone.startswith(_ARM)]
    weight = np.asarray(model.weights[:, of_arm].sum(1)).ravel()
    share = np.full(len(weight), -1.0)
    for side, sign in (("L", 1.0), ("R", -1.0)):
        shoulder, elbow, wrist = (
            model.template_head(f"{bone}.{side}") for bone in ("upperarm01", "lowerarm01", "wrist")
        )
        mine = np.sign(model.template[:, 0]) == sign
        upper, lower = (_along(model.template[mine], *ends) for ends in ((shoulder, elbow), (elbow, wrist)))
        share[mine] = np.where(lower > 0, 0.5 + 0.5 * lower, np.minimum(0.5 * upper, 0.5))
    on_trunk = np.minimum(share, 0.0) - 0.3 * (1 - weight)
    return np.stack([np.where(weight > 0.5, share, on_trunk), weight], 1).astype(np.float32)


def _along(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    direction = end - start
    return (points - start) @ direction / (direction @ direction)
