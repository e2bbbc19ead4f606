"""The people found in one image or video frame: what users, files, images and trackers pass around.

Shapes: N people, J joints. 2D in continuous px (COCO index + 0.5) of the image as given; 3D in m, camera axes (x right,
y down, z away).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .placement import Camera, PinholeCamera, place_people
from .structures import Skeleton

if TYPE_CHECKING:
    from detectron2.structures import Instances

__all__ = ["OPTIONAL_FIELDS", "PERSON_FIELDS", "DetectedPeople", "person_shape", "points_in_image"]

#: Weight, in placement, of a joint inferred outside the image beside one inside it: best where it is five times as
#: uncertain. With 20 px beside 4 px and a third of the joints outside, the median error of people 2 to 5 m away is
#: 2.1 % of their depth, and 4.7 % if all joints count alike.
_WEIGHT_OUTSIDE = 0.04


_J = -1  # in shapes: the number of joints


def _rows(key: str, *shape: int, digits: int | None = None, dtype: type = np.float32, **default: Any) -> Any:
    """A field with a row per person, of this shape, and how `PERSON_FIELDS` has files write it."""
    return field(metadata={"key": key, "shape": shape, "digits": digits, "dtype": dtype}, **default)


@dataclass(frozen=True)
class DetectedPeople:
    """Everyone found in one image, best score first; `people[i]` and iteration give one, as people of length 1.

    Attributes:
        skeleton: names the J joints and the bones between them.
        image_size: (H, W) px.
        scores: (N,) S of Eq. 7, a sum that may exceed 1.
        confidences: (N,) in [0, 1], the probability that the best region is a person: for showing.
        boxes: (N, 4) px, x1, y1, x2, y2 around the 2D joints, clipped to the image.
        keypoints_2d: (N, J, 2) px; NaN for a joint that a conversion to another skeleton could not make.
        poses_3d: (N, J, 3) m, relative to the body centre; NaN likewise.
        in_image: (N, J) bool: False where the joint is inferred outside the image.
        spreads_2d: (N, J) px: root mean square distance of the averaged proposals' joints from the person's
            (weights of Eq. 7): how much they disagree. 0 where a single proposal made the person.
        spreads_3d: (N, J) m, likewise.
        anchors: (N,) class of the best-scored proposal; K .. 2K-1 are upper bodies. With TEST.AUG.FLIP it may be
            the mirror image's.
        translations: (N, 3) m, place of each body centre before the camera (Fig. 7), NaN where no place
            explains the pose; None if not placed.
        identities: (N,) number of each person across the frames of a video; None without tracking.
        camera: that people were placed for; None if not placed.
        interpolated: joints that the model does not predict, made of others by a conversion of skeletons.

    Raises:
        ValueError: an array of another shape; the message names it.
    """

    skeleton: Skeleton
    image_size: tuple[int, int]
    scores: np.ndarray = _rows("score")
    confidences: np.ndarray = _rows("confidence")
    boxes: np.ndarray = _rows("box", 4, digits=2)
    keypoints_2d: np.ndarray = _rows("keypoints_2d", _J, 2, digits=3)
    poses_3d: np.ndarray = _rows("pose_3d", _J, 3, digits=5)
    in_image: np.ndarray = _rows("in_image", _J, dtype=bool)
    spreads_2d: np.ndarray = _rows("spread_2d", _J, digits=3)
    spreads_3d: np.ndarray = _rows("spread_3d", _J, digits=5)
    anchors: np.ndarray = _rows("anchor_class", dtype=np.int64)
    translations: np.ndarray | None = _rows("translation", 3, digits=5, default=None)
    identities: np.ndarray | None = _rows("identity", dtype=np.int64, default=None)
    camera: Camera | None = None
    interpolated: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n, j = len(self.scores), len(self.skeleton)
        for name in PERSON_FIELDS:
            values, shape = getattr(self, name), (n, *person_shape(name, j))
            if values is not None and values.shape != shape:
                raise ValueError(f"{name} of {n} people with {j} joints has shape {values.shape}, not {shape}")

    @classmethod
    def from_instances(cls, instances: Instances, skeleton: Skeleton) -> DetectedPeople:
        """Copies of a model's output for one image (modeling/roi_heads.py, `people_to_instances`), best score first.

        Raises:
            ValueError: a field is missing; the message names it.
        """
        needed = ("scores", "pred_boxes", "pred_keypoints", "pred_poses_3d", "pred_confidences", "pred_anchors")
        missing = [name for name in (*needed, "pred_spreads_2d", "pred_spreads_3d") if not instances.has(name)]
        if missing:
            raise ValueError(f"the instances lack {missing}; are they an LCR-Net's?")
        instances = instances[instances.scores.argsort(descending=True, stable=True)]
        size = instances.image_size
        keypoints_2d = _array(instances.pred_keypoints)[..., :2]
        spreads_2d = _array(instances.pred_spreads_2d) * np.array(size[::-1], dtype=np.float32)
        return cls(
            skeleton=skeleton,
            image_size=size,
            scores=_array(instances.scores),
            confidences=_array(instances.pred_confidences),
            boxes=_array(instances.pred_boxes.tensor),
            keypoints_2d=keypoints_2d,
            poses_3d=_array(instances.pred_poses_3d),
            in_image=points_in_image(keypoints_2d, size),
            spreads_2d=np.linalg.norm(spreads_2d, axis=-1),
            spreads_3d=_array(instances.pred_spreads_3d),
            anchors=_array(instances.pred_anchors),
        )

    @classmethod
    def nobody(cls, skeleton: Skeleton, image_size: tuple[int, int]) -> DetectedPeople:
        """N = 0."""
        required = PERSON_FIELDS.keys() - set(OPTIONAL_FIELDS)
        shapes = {name: (0, *person_shape(name, len(skeleton))) for name in required}
        arrays: dict[str, Any] = {name: np.zeros(shapes[name], PERSON_FIELDS[name]["dtype"]) for name in required}
        return cls(skeleton, image_size, **arrays)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: int | slice | np.ndarray | list[int]) -> DetectedPeople:
        """One person (a view), or some of them (slice, bool or index array)."""
        if isinstance(rows, int | np.integer):
            row = range(len(self))[rows]
            rows = slice(row, row + 1)
        arrays = {name: getattr(self, name) for name in PERSON_FIELDS}
        return replace(self, **{name: None if values is None else values[rows] for name, values in arrays.items()})

    def __iter__(self) -> Iterator[DetectedPeople]:
        return (self[i] for i in range(len(self)))

    def placed(self, camera: Camera) -> DetectedPeople:
        """The same people with `translations`: where each stands before `camera` (Fig. 7).

        Joints inferred outside the image, which nothing was seen of, count a twenty-fifth of the others.
        """
        weights = np.where(self.in_image, 1.0, _WEIGHT_OUTSIDE)
        keypoints_2d, poses_3d, weights = map(torch.from_numpy, (self.keypoints_2d, self.poses_3d, weights))
        return replace(self, translations=place_people(keypoints_2d, poses_3d, camera, weights).numpy(), camera=camera)

    def placed_by_default(self) -> DetectedPeople:
        """Themselves where they have been placed; else placed before the camera that nothing is known about."""
        return self if self.translations is not None else self.placed(PinholeCamera.from_fov(self.image_size))

    def in_camera(self) -> np.ndarray:
        """(N, J, 3) m: joints in the camera's space, the camera at 0; NaN for people without a place.

        Raises:
            ValueError: people were not placed.
        """
        if self.translations is None:
            raise ValueError("these people have no place before a camera yet: call placed(camera) first")
        return self.poses_3d + self.translations[:, None]


#: Array of `DetectedPeople` -> its name, digits and type in files of poses.
PERSON_FIELDS = {f.name: f.metadata for f in fields(DetectedPeople) if f.metadata}
OPTIONAL_FIELDS = ("translations", "identities")


def person_shape(name: str, num_joints: int) -> tuple[int, ...]:
    """Of one person's row of this array."""
    return tuple(num_joints if side == _J else side for side in PERSON_FIELDS[name]["shape"])


def points_in_image(points: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """(...) bool: which (..., 2) px lie on the (H, W) image; NaN does not."""
    return np.asarray(np.logical_and(points >= 0, points < image_size[::-1]).all(-1))


def _array(values: torch.Tensor) -> np.ndarray:
    """float32 or int64 on the CPU, a copy."""
    array = values.detach().cpu().numpy()
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
