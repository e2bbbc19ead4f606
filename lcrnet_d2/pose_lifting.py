"""3D that follows the 2D joints found: a lifter's 3D, averaged with the network's own (TEST.LCRNET.LIFTER).

The network predicts 2D and 3D side by side; joints that heat maps have refined since leave 3D behind. It is applied to
whole people in pixels of the picture, after the network, as where in the picture someone stands tells the lifter how
they are seen. Shapes: N people, J joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.structures import Instances
from torch import Tensor, nn

from .mocap.lifter import Lifter, is_liftable, joint_trust
from .structures import SKELETONS, centre_poses

__all__ = ["PoseLifting", "WithPoseLifting", "build_pose_lifting"]

_WEIGHTS = Path(__file__).parent / "weights"
#: What detected joints are taken to be off, as a share of the pose's extent.
_NOISE = 0.06
#: Heat below which a joint counts as hidden: half of those are off by a third of the extent or more.
_LEAST_HEAT = 0.2


@dataclass(frozen=True)
class PoseLifting:
    """Replaces a model's 3D.

    Attributes:
        lifter: trained by datasets/train_lifter.py, in the model's joints.
        own_std: m, what the network's own 3D coordinates are taken to be off; both are averaged by 1 / std^2.
    """

    lifter: Lifter
    own_std: float

    def __call__(self, instances: Instances) -> Instances:
        """A model's people of one image with other pred_poses_3d; the network's become pred_integrated_poses_3d."""
        out = Instances(instances.image_size, **instances.get_fields())
        out.pred_integrated_poses_3d = instances.pred_poses_3d
        points = instances.pred_keypoints[..., :2]
        seen = instances.pred_joint_heats >= _LEAST_HEAT if instances.has("pred_joint_heats") else None
        out.pred_poses_3d = self.lifted(points, instances.pred_poses_3d, instances.image_size, seen)
        return out

    @torch.no_grad()
    def lifted(
        self, keypoints_2d: Tensor, poses_3d: Tensor, image_size: tuple[int, int], seen: Tensor | None = None
    ) -> Tensor:
        """(N, J, 3) m of 2D poses (N, J, 2) px in an (H, W) image and the network's 3D (N, J, 3) m.

        Joints outside the image or not `seen` (N, J) are not lifted but completed. Who has too few others keeps the
        network's 3D.
        """
        height, width = image_size
        points, own = keypoints_2d.float().cpu(), poses_3d.float().cpu()
        given = ((points >= 0) & (points < points.new_tensor([width, height]))).all(-1)
        given = given if seen is None else given & seen.cpu()
        trusted = given & is_liftable(given, self.lifter.skeleton)[:, None]
        sizes = points.new_tensor([height, width]).expand(len(points), 2)
        found = self.lifter.lift(points, joint_trust(trusted, _NOISE), sizes)
        share = self.own_std**2 / (self.own_std**2 + found.std.square())
        mean = centre_poses(own + share * (found.poses_3d - own), self.lifter.skeleton)
        return torch.where(trusted.any(1)[:, None, None], mean, own).to(poses_3d)


class WithPoseLifting(nn.Module):
    """Stands in for a network at inference; the pictures' 3D is lifted."""

    def __init__(self, network: nn.Module, lifting: PoseLifting) -> None:
        super().__init__()
        self.training = network.training
        self.network, self.lifting = network, lifting

    def forward(self, batched_inputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Instances]]:
        """As GeneralizedRCNN's at inference."""
        return [output | {"instances": self.lifting(output["instances"])} for output in self.network(batched_inputs)]


def build_pose_lifting(cfg: CfgNode) -> PoseLifting | None:
    """What TEST.LCRNET.LIFTER asks for; None where that is empty.

    Raises:
        FileNotFoundError: no such file, nor weights of the package called so.
        ValueError: no lifter, or one of other joints than the model's.
    """
    name = cfg.TEST.LCRNET.LIFTER
    if not name:
        return None
    packaged = _WEIGHTS / f"{name}.npz"
    lifter = Lifter.load(packaged if packaged.is_file() else name)
    skeleton = SKELETONS[cfg.MODEL.LCRNET.SKELETON]
    if lifter.skeleton != skeleton:
        raise ValueError(f"TEST.LCRNET.LIFTER {name} lifts {lifter.skeleton.name}, the model finds {skeleton.name}")
    if not cfg.TEST.LCRNET.OWN_3D_STD > 0:
        raise ValueError(f"TEST.LCRNET.OWN_3D_STD is {cfg.TEST.LCRNET.OWN_3D_STD}, expected more than 0 m")
    return PoseLifting(lifter, cfg.TEST.LCRNET.OWN_3D_STD)
