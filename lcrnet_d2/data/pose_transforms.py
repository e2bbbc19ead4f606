"""Carries augmentations of an image over to 2D and 3D poses; refuses those that have no meaning in 3D.

2D follows the pixels (`apply_coords`). 3D follows the camera: a flip mirrors x and swaps left and
right joints, a rotation in the image plane rolls the camera, resizing and cropping leave it as it is.
Detectron2's own keypoint transform is not used: it zeroes joints outside the image, and those
are what LCR-Net predicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from detectron2.data import transforms as T
from torch import Tensor

from ..structures import Skeleton
from .person_zoom import WindowTransform

__all__ = ["transform_poses", "transform_variances", "transformation_3d"]

#: A resize that squeezes one axis by more has no 3D counterpart; whole pixels squeeze 400 x 300 by under 1 %.
_MAX_SQUEEZE = 0.03


_IDENTITY = np.eye(3)


def _identity(transform: Any) -> np.ndarray:
    return _IDENTITY


def _mirror(transform: Any) -> np.ndarray:
    return np.diag([-1.0, 1.0, 1.0])


def _resize(transform: Any) -> np.ndarray:
    x, y = transform.new_w / transform.w, transform.new_h / transform.h
    # Rounding to whole pixels may squeeze a tiny image more; one pixel is always allowed.
    allowed = max(_MAX_SQUEEZE, 1 / transform.new_w + 1 / transform.new_h)
    if abs(x / y - 1) > allowed:
        raise ValueError(
            f"resizing {transform.w} x {transform.h} to {transform.new_w} x {transform.new_h} squeezes one axis by "
            f"{abs(x / y - 1):.0%}; a 3D pose cannot follow. Use a resize that keeps the aspect ratio"
        )
    return _IDENTITY


def _roll(transform: Any) -> np.ndarray:
    """Detectron2 turns the image counter-clockwise as seen, with y down: (1, 0) goes to (cos, -sin)."""
    c, s = math.cos(math.radians(transform.angle)), math.sin(math.radians(transform.angle))
    return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


_IN_3D: dict[type, Callable[..., np.ndarray]] = {
    T.NoOpTransform: _identity,
    T.BlendTransform: _identity,
    T.ColorTransform: _identity,
    T.PILColorTransform: _identity,
    T.CropTransform: _identity,
    T.PadTransform: _identity,
    T.ResizeTransform: _resize,
    WindowTransform: _resize,
    T.HFlipTransform: _mirror,
    T.RotationTransform: _roll,
}


def transformation_3d(transforms: T.TransformList) -> Tensor:
    """(3, 3) orthogonal matrix that 3D poses in camera axes follow; determinant -1 where the image is mirrored.

    Raises:
        TypeError: a transform that is not known to have a 3D counterpart.
        ValueError: a resize that squeezes one axis.
    """
    matrix = _IDENTITY
    for transform in transforms.transforms:
        if type(transform) not in _IN_3D:
            known = ", ".join(sorted(t.__name__ for t in _IN_3D))
            raise TypeError(
                f"{type(transform).__name__} cannot be carried over to 3D poses; augmentations may consist of {known}"
            )
        matrix = _IN_3D[type(transform)](transform) @ matrix
    return torch.from_numpy(matrix).float()


def transform_poses(
    keypoints: Tensor, poses_3d: Tensor, transforms: T.TransformList, skeleton: Skeleton
) -> tuple[Tensor, Tensor]:
    """Applies augmentations to N people. Joints that leave the image keep their place and visibility.

    Args:
        keypoints: (N, J, 3) x, y in px and v.
        poses_3d: (N, J, 3) m, camera axes, body-centred.

    Returns:
        The same after the augmentations, in the same joint order.
    """
    matrix = transformation_3d(transforms)
    points = keypoints[..., :2].reshape(-1, 2).double().numpy()
    moved = torch.from_numpy(np.asarray(transforms.apply_coords(points.copy()))).to(keypoints)
    keypoints = torch.cat([moved.view(*keypoints.shape[:2], 2), keypoints[..., 2:]], -1)
    poses_3d = poses_3d @ matrix.T.to(poses_3d)
    if _mirrors(transforms):
        keypoints, poses_3d = keypoints[:, skeleton.flip_indices], poses_3d[:, skeleton.flip_indices]
    return keypoints, poses_3d


def transform_variances(variances: Tensor, transforms: T.TransformList, skeleton: Skeleton) -> Tensor:
    """The variances (N, J, 3), m^2, of 3D poses' coordinates after augmentations, as `transform_poses` moves those.

    Errors along the axes are taken as independent: a roll by an angle a gives x the variance
    cos^2 a Var(x) + sin^2 a Var(y).
    """
    matrix = transformation_3d(transforms)
    variances = variances @ matrix.square().T.to(variances)
    return variances[:, skeleton.flip_indices] if _mirrors(transforms) else variances


def _mirrors(transforms: T.TransformList) -> bool:
    return sum(type(transform) is T.HFlipTransform for transform in transforms.transforms) % 2 == 1
