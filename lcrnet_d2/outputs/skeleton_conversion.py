"""Detected people in the joints of another skeleton: COCO-17, Human3.6M-17, MPII-16 and the others by name.

What comes out where the model's 13 joints (BODY13) have no such joint:

| skeleton | made of others ("interpolated") | cannot be had (NaN, v = 0) |
|---|---|---|
| COCO17 | nose = head | left_eye, right_eye, left_ear, right_ear |
| H36M17 | pelvis = mean of the hips, neck = mean of the shoulders, spine = mean of both, head_top = head | |
| MPII16 | pelvis; thorax and neck = mean of the shoulders, head_top = head | |

BODY13's head is the middle of the head, so a nose or a head top made of it is some 10 cm off.
Shapes: N people, J joints of the result, J' joints given.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..detected_people import DetectedPeople, points_in_image
from ..structures import SKELETONS

__all__ = ["convert_people", "keypoint_visibility"]


def convert_people(people: DetectedPeople, name: str) -> DetectedPeople:
    """The same people with the joints of the skeleton `name`, in 2D and 3D.

    A joint made of several is their mean; its spread is the mean of theirs, which is the most that the mean of the
    joints can deviate (triangle inequality). A joint that cannot be had is NaN in 2D, 3D and spreads and False in
    `in_image`. The 3D stays relative to the body centre of the joints given. Converting to the skeleton people
    have already changes nothing.

    Args:
        name: one of `structures.SKELETONS`.

    Raises:
        ValueError: no such skeleton; the message lists those there are.
    """
    if name not in SKELETONS:
        raise ValueError(f"no skeleton {name!r}; there are {sorted(SKELETONS)}")
    if SKELETONS[name] == people.skeleton:
        return people
    keypoints_2d = _in_joints_of(name, people, people.keypoints_2d)
    return replace(
        people,
        skeleton=SKELETONS[name],
        keypoints_2d=keypoints_2d,
        poses_3d=_in_joints_of(name, people, people.poses_3d),
        in_image=points_in_image(keypoints_2d, people.image_size),
        spreads_2d=_in_joints_of(name, people, people.spreads_2d[..., None])[..., 0],
        spreads_3d=_in_joints_of(name, people, people.spreads_3d[..., None])[..., 0],
        interpolated=_interpolated(people, name),
    )


def keypoint_visibility(people: DetectedPeople) -> np.ndarray:
    """(N, J) v as in COCO's files: 2 in the image, 1 inferred outside of it, 0 not to be had (NaN)."""
    known = np.isfinite(people.keypoints_2d).all(-1)
    return np.where(known, np.where(people.in_image, 2, 1), 0)


def _in_joints_of(name: str, people: DetectedPeople, values: np.ndarray) -> np.ndarray:
    """(N, J, d) of (N, J', d), NaN where nothing is known."""
    known = torch.from_numpy(np.isfinite(values).all(-1)).long()
    filled = torch.from_numpy(np.nan_to_num(values))
    converted, visibility = SKELETONS[name].convert_from(people.skeleton, filled, known)
    return torch.where(visibility[..., None] > 0, converted, torch.nan).numpy()


def _interpolated(people: DetectedPeople, name: str) -> tuple[str, ...]:
    """Joints of another name, of several, or of one that was interpolated itself."""
    sources = SKELETONS[name].sources_in(people.skeleton)
    return tuple(j for j, names in sources.items() if names != (j,) or j in people.interpolated)
