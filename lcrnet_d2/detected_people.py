"""The people found in one image or video frame: what users, files, images and trackers pass around.

Shapes: N people, J joints. 2D in continuous px (COCO index + 0.5) of the image as given; 3D in m, camera axes (x right,
y down, z away).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, overload

import numpy as np
import torch

from .placement import Camera, PinholeCamera, place_people
from .structures import Skeleton

if TYPE_CHECKING:
    from detectron2.structures import Instances

__all__ = ["DetectedPeople", "DetectedPerson", "points_in_image"]

#: Weight, in placement, of a joint inferred outside the image beside one inside it: best where it is five times as
#: uncertain. With 20 px beside 4 px and a third of the joints outside, the median error of people 2 to 5 m away is
#: 2.1 % of their depth, and 4.7 % if all joints count alike.
_WEIGHT_OUTSIDE = 0.04


@dataclass(frozen=True)
class DetectedPerson:
    """One row of `DetectedPeople`; the same fields, one person each.

    Attributes:
        skeleton: names the joints.
        score, confidence: see `DetectedPeople`.
        box: (4,) px.
        keypoints_2d: (J, 2) px.
        pose_3d: (J, 3) m, relative to the body centre.
        in_image: (J,) bool.
        spread_2d: (J,) px.
        spread_3d: (J,) m.
        anchor: class of the seed.
        translation: (3,) m, place of the body centre; None if not placed.
        identity: number of the person across frames; None without tracking.
    """

    skeleton: Skeleton
    score: float
    confidence: float
    box: np.ndarray
    keypoints_2d: np.ndarray
    pose_3d: np.ndarray
    in_image: np.ndarray
    spread_2d: np.ndarray
    spread_3d: np.ndarray
    anchor: int
    translation: np.ndarray | None
    identity: int | None


@dataclass(frozen=True)
class DetectedPeople:
    """Everyone found in one image, best score first; `len`, iteration and `people[i]` give persons.

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
    scores: np.ndarray
    confidences: np.ndarray
    boxes: np.ndarray
    keypoints_2d: np.ndarray
    poses_3d: np.ndarray
    in_image: np.ndarray
    spreads_2d: np.ndarray
    spreads_3d: np.ndarray
    anchors: np.ndarray
    translations: np.ndarray | None = None
    identities: np.ndarray | None = None
    camera: Camera | None = None
    interpolated: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n, j = len(self.scores), len(self.skeleton)
        for name, tail in _shapes(j).items():
            values = getattr(self, name)
            if values is not None and values.shape != (n, *tail):
                raise ValueError(f"{name} of {n} people with {j} joints has shape {values.shape}, not {(n, *tail)}")

    @classmethod
    def from_instances(cls, instances: Instances, skeleton: Skeleton) -> DetectedPeople:
        """Copies of a model's output for one image (modeling/roi_heads.py, `people_to_instances`).

        Raises:
            ValueError: a field is missing; the message names it.
        """
        needed = ("scores", "pred_boxes", "pred_keypoints", "pred_poses_3d", "pred_confidences", "pred_anchors")
        missing = [name for name in (*needed, "pred_spreads_2d", "pred_spreads_3d") if not instances.has(name)]
        if missing:
            raise ValueError(f"the instances lack {missing}; are they an LCR-Net's?")
        height, width = instances.image_size
        points = _array(instances.pred_keypoints)[..., :2]
        spreads_2d = _array(instances.pred_spreads_2d) * np.array([width, height], dtype=np.float32)
        return cls(
            skeleton=skeleton,
            image_size=(height, width),
            scores=_array(instances.scores),
            confidences=_array(instances.pred_confidences),
            boxes=_array(instances.pred_boxes.tensor),
            keypoints_2d=points,
            poses_3d=_array(instances.pred_poses_3d),
            in_image=points_in_image(points, (height, width)),
            spreads_2d=np.linalg.norm(spreads_2d, axis=-1),
            spreads_3d=_array(instances.pred_spreads_3d),
            anchors=_array(instances.pred_anchors),
        )

    @classmethod
    def nobody(cls, skeleton: Skeleton, image_size: tuple[int, int]) -> DetectedPeople:
        """N = 0."""
        empty = {name: np.zeros((0, *tail), dtype=np.float32) for name, tail in _shapes(len(skeleton)).items()}
        empty |= {"in_image": empty["in_image"].astype(bool), "anchors": np.zeros(0, dtype=np.int64)}
        return cls(skeleton, image_size, **{**empty, "translations": None, "identities": None})

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[DetectedPerson]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, rows: int) -> DetectedPerson: ...
    @overload
    def __getitem__(self, rows: slice | np.ndarray | list[int]) -> DetectedPeople: ...

    def __getitem__(self, rows: int | slice | np.ndarray | list[int]) -> DetectedPerson | DetectedPeople:
        """One person, or some of them (slice, bool or index array)."""
        if not isinstance(rows, int | np.integer):
            chosen = {name: None if v is None else v[rows] for name, v in self._arrays().items()}
            return replace(self, **chosen)
        i = int(rows)
        return DetectedPerson(
            skeleton=self.skeleton,
            score=float(self.scores[i]),
            confidence=float(self.confidences[i]),
            box=self.boxes[i],
            keypoints_2d=self.keypoints_2d[i],
            pose_3d=self.poses_3d[i],
            in_image=self.in_image[i],
            spread_2d=self.spreads_2d[i],
            spread_3d=self.spreads_3d[i],
            anchor=int(self.anchors[i]),
            translation=None if self.translations is None else self.translations[i],
            identity=None if self.identities is None else int(self.identities[i]),
        )

    def _arrays(self) -> dict[str, np.ndarray | None]:
        """The fields that have a row per person."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name in _shapes(0)}

    def placed(self, camera: Camera) -> DetectedPeople:
        """The same people with `translations`: where each stands before `camera` (Fig. 7).

        Joints inferred outside the image, which nothing was seen of, count a twenty-fifth of the others.
        """
        weights = np.where(self.in_image, 1.0, _WEIGHT_OUTSIDE)
        poses_2d, poses_3d = torch.from_numpy(self.keypoints_2d), torch.from_numpy(self.poses_3d)
        translations = place_people(poses_2d, poses_3d, camera, torch.from_numpy(weights)).numpy()
        return replace(self, translations=translations, camera=camera)

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


def points_in_image(points: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """(...) bool: which (..., 2) px lie on the (H, W) image; NaN does not."""
    height, width = image_size
    return np.asarray(np.logical_and(points >= 0, points < np.array([width, height])).all(-1))


def _shapes(j: int) -> dict[str, tuple[int, ...]]:
    """Shapes behind N."""
    return {
        "scores": (),
        "confidences": (),
        "boxes": (4,),
        "keypoints_2d": (j, 2),
        "poses_3d": (j, 3),
        "in_image": (j,),
        "spreads_2d": (j,),
        "spreads_3d": (j,),
        "anchors": (),
        "translations": (3,),
        "identities": (),
    }


def _array(values: torch.Tensor) -> np.ndarray:
    """float32 or int64 on the CPU, a copy."""
    array = values.detach().cpu().numpy()
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
