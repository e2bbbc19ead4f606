"""A small network that lifts 2D poses to 3D, beside the paper's nearest-neighbour search (pseudo_pose.py).

It reads the joints of one person and how far each can be trusted, and answers with the 3D pose, how uncertain each
joint is along each axis, and the 2D of joints that are not annotated. datasets/train_lifter.py trains it on people
made of motion capture (datasets/perspective_people.py).

Shapes: N people, J joints.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..structures import SKELETONS, Skeleton, centre_poses, mirror_poses_3d
from ..structures.bounded_files import read_npz
from ..structures.whole_files import save_npz

__all__ = ["LiftedPoses", "Lifter", "LifterOutputs", "is_liftable", "joint_trust"]

#: Annotated joints below which a pose is not lifted; two of them are shoulders or hips.
MIN_JOINTS, MIN_TORSO_JOINTS = 4, 2
#: Noise of a joint, as a share of the pose's extent, at which it is trusted by half.
HALF_TRUST = 0.05

_FORMAT_VERSION = 1
_MAX_BYTES = 2**28
_HEADER = ("version", "skeleton", "joint_names", "width", "blocks")
_MAX_WIDTH, _MAX_BLOCKS = 1024, 8  # 70 MB: what a small file may make this build before its weights are read
_BATCH = 4096


class LifterOutputs(NamedTuple):
    """What the network says.

    Attributes:
        poses_3d: (N, J, 3) m, camera axes, body-centred.
        log_std: (N, J, 3) logarithm of the standard deviation in m.
        poses_2d: (N, J, 2) in units of the annotated joints' extent, about their mean.
    """

    poses_3d: Tensor
    log_std: Tensor
    poses_2d: Tensor


class LiftedPoses(NamedTuple):
    """Lifted people.

    Attributes:
        poses_3d: (N, J, 3) m, camera axes, body-centred.
        std: (N, J, 3) m, standard deviation of each coordinate.
        poses_2d: (N, J, 2) px: annotated joints as given, the others completed.
    """

    poses_3d: Tensor
    std: Tensor
    poses_2d: Tensor


def is_liftable(annotated: Tensor, skeleton: Skeleton) -> Tensor:
    """(N,) bool of (N, J) bool: at least `MIN_JOINTS` joints, `MIN_TORSO_JOINTS` of them shoulders or hips."""
    return (annotated.sum(1) >= MIN_JOINTS) & (annotated[:, skeleton.torso].sum(1) >= MIN_TORSO_JOINTS)


def joint_trust(annotated: Tensor, noise: Tensor | float) -> Tensor:
    """(N, J) in [0, 1]: 0 for joints that are not annotated, 1 for exact ones, 1/2 at `HALF_TRUST`.

    Args:
        annotated: (N, J) bool.
        noise: standard deviation of the joints' places (N, J), (N, 1) or one number, as a share of the pose's extent.
    """
    noise = torch.as_tensor(noise, dtype=torch.float32, device=annotated.device)
    return annotated / (1 + (noise / HALF_TRUST) ** 2)


def normalised(poses_2d: Tensor, trust: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """2D poses about the mean of their annotated joints, in units of their extent; 0 where not annotated.

    Args:
        poses_2d: (N, J, 2); ignored, NaN too, where `trust` (N, J) is 0.

    Returns:
        (N, J, 2), the means (N, 1, 2) and the extents (N, 1, 1), root mean square distances from the mean.
    """
    annotated = (trust > 0)[..., None]
    count = annotated.sum(1, keepdim=True).clamp(min=1)
    points = torch.where(annotated, poses_2d, 0.0)
    mean = points.sum(1, keepdim=True) / count
    centred = torch.where(annotated, points - mean, 0.0)
    extent = (centred.square().sum((1, 2), keepdim=True) / count).sqrt()
    extent = extent.clamp(min=1e-6)
    return centred / extent, mean, extent


class Lifter(nn.Module):
    """Residual layers from J x (x, y, trust) and the place in the image to 3D, uncertainty and completed 2D.

    Where in the image someone stands matters, as who is far from its middle is seen from the side. Without an image
    size that part of the input is 0.
    """

    def __init__(self, skeleton: Skeleton, width: int = 512, blocks: int = 2) -> None:
        super().__init__()
        self.skeleton, self.width = skeleton, width
        joints = len(skeleton)
        self.first = nn.Linear(3 * joints + 4, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()),
                *(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()),
            )
            for _ in range(blocks)
        )
        self.last = nn.Linear(width, 8 * joints)

    def forward(self, poses_2d: Tensor, trust: Tensor, image_sizes: Tensor | None = None) -> LifterOutputs:
        """
        Args:
            poses_2d: (N, J, 2) px, x right, y down; ignored where `trust` is 0.
            trust: (N, J) of `joint_trust`.
            image_sizes: (N, 2) height and width in px; NaN where not known.
        """
        points, mean, extent = normalised(poses_2d, trust)
        place = _place_in_image(mean[:, 0], extent[:, 0], image_sizes)
        with torch.autocast(points.device.type, enabled=False):  # 8 bits of a place would hide perspective
            x = self.first(torch.cat([points.flatten(1), trust, place], 1)).relu()
        for block in self.blocks:
            x = x + block(x)
        with torch.autocast(points.device.type, enabled=False):
            out = self.last(x).view(len(x), len(self.skeleton), 8)
        return LifterOutputs(centre_poses(out[..., :3], self.skeleton), out[..., 3:6], out[..., 6:])

    @torch.no_grad()
    def lift(self, poses_2d: Tensor, trust: Tensor, image_sizes: Tensor | None = None) -> LiftedPoses:
        """Lifts people: the mean of what the network says of them and of their mirror images.

        Args: as for `forward`.

        Raises:
            ValueError: shapes that do not fit, annotated coordinates that are not finite.
        """
        if poses_2d.shape != (*trust.shape, 2) or trust.shape[1:] != (len(self.skeleton),):
            shapes = f"{tuple(poses_2d.shape)} joints with trust {tuple(trust.shape)}"
            raise ValueError(f"{shapes}; expected (N, J, 2) and (N, J), J = {len(self.skeleton)}")
        broken = (~torch.isfinite(poses_2d).all(-1) & (trust > 0)).any(1)
        if broken.any():
            raise ValueError(f"2D pose {int(broken.nonzero()[0])} has an annotated joint that is not finite")
        sizes = torch.full((len(trust), 2), torch.nan) if image_sizes is None else image_sizes
        parts = zip(*(values.float().split(_BATCH) for values in (poses_2d, trust, sizes)), strict=True)
        lifted = [self._lift(*part) for part in parts]
        return LiftedPoses(*(torch.cat(part) for part in zip(*lifted, strict=True)))

    def _lift(self, poses_2d: Tensor, trust: Tensor, image_sizes: Tensor) -> LiftedPoses:
        flip, mirror = self.skeleton.flip_indices, poses_2d.new_tensor([-1.0, 1.0])
        width = image_sizes[:, 1].nan_to_num(0.0)[:, None, None]
        mirrored = torch.cat([width - poses_2d[..., :1], poses_2d[..., 1:]], -1)[:, flip]
        straight, turned = self(poses_2d, trust, image_sizes), self(mirrored, trust[:, flip], image_sizes)
        poses_3d = (straight.poses_3d + mirror_poses_3d(turned.poses_3d, self.skeleton)) / 2
        std = ((straight.log_std + turned.log_std[:, flip]) / 2).exp()
        completed = (straight.poses_2d + turned.poses_2d[:, flip] * mirror) / 2
        _, mean, extent = normalised(poses_2d, trust)
        return LiftedPoses(poses_3d, std, torch.where((trust > 0)[..., None], poses_2d, completed * extent + mean))

    def scale_std(self, factors: Tensor) -> None:
        """Multiplies the standard deviations along x, y and z by `factors` (3,): calibration after training."""
        with torch.no_grad():
            self.last.bias.view(-1, 8)[:, 3:6] += factors.log()

    def save(self, path: str | Path) -> None:
        """Writes the weights in half precision, whole or not at all; no pickles in it."""
        weights = {name: value.numpy() for name, value in self.state_dict().items() if value.is_floating_point()}
        save_npz(
            path,
            version=_FORMAT_VERSION,
            skeleton=self.skeleton.name,
            joint_names=np.array(self.skeleton.joints),
            width=self.width,
            blocks=len(self.blocks),
            **{name: value.astype(np.float16) for name, value in weights.items()},
        )

    @classmethod
    def load(cls, path: str | Path) -> Lifter:
        """Reads what `save` wrote, ready to lift.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not such a file, another version, joints of no known skeleton, bad numbers.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"no lifter at {path}; train one with datasets/train_lifter.py")
        try:
            head = read_npz(path, _HEADER, _MAX_BYTES)
            if int(head["version"]) != _FORMAT_VERSION:
                raise ValueError(f"version {head['version']}, this program reads {_FORMAT_VERSION}")
            skeleton = SKELETONS.get(str(head["skeleton"]))
            if skeleton is None or skeleton.joints != tuple(head["joint_names"].tolist()):
                raise ValueError(f"its joints {head['joint_names'].tolist()} are not those of a known skeleton")
            width, blocks = int(head["width"]), int(head["blocks"])
            if not (0 < width <= _MAX_WIDTH and 0 <= blocks <= _MAX_BLOCKS):
                raise ValueError(f"{blocks} blocks of width {width}")
            lifter = cls(skeleton, width, blocks)
            wanted = {name: value.shape for name, value in lifter.state_dict().items() if value.is_floating_point()}
            arrays = read_npz(path, tuple(wanted), _MAX_BYTES)
            weights = {name: torch.from_numpy(array).float() for name, array in arrays.items()}
            for name, shape in wanted.items():
                if weights[name].shape != shape or not bool(torch.isfinite(weights[name]).all()):
                    raise ValueError(f"{name} is not {tuple(shape)} finite numbers")
            lifter.load_state_dict(weights, strict=False)  # not there: BatchNorm's counters of batches
        except (ValueError, TypeError, OverflowError, RuntimeError) as error:
            raise ValueError(f"{path} is not a lifter: {error}") from error
        return lifter.eval()


def _place_in_image(mean: Tensor, extent: Tensor, image_sizes: Tensor | None) -> Tensor:
    """(N, 4): place of the joints' mean (N, 2) from -1 to 1 along the longer side, log of their extent (N, 1) as a
    share of it, and 1; all 0 where the size of the image is not known."""
    if image_sizes is None:
        return mean.new_zeros((len(mean), 4))
    long_side = image_sizes.amax(1, keepdim=True)
    known = torch.isfinite(long_side)
    middle = image_sizes.flip(1) / 2
    place = torch.cat([2 * (mean - middle) / long_side, (4 * extent / long_side).log(), torch.ones_like(extent)], 1)
    return torch.where(known, place, 0.0)
