"""From a dataset dict to what the network trains on: augment, draw boxes, label with the nearest anchor pose.

Shapes: N people, J joints, M rows of ground truth (full-body rows first, then upper-body rows, then
people without 3D, then ignored regions).
"""

from __future__ import annotations

# Detectron2's @configurable hides the arguments of what it wraps.
# pyright: reportCallIssue=false
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import transforms as T
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils.file_io import PathManager
from torch import Tensor

from ..structures import CROWD, PERSON, SKELETONS, UNANNOTATED, AnchorPoses, Skeleton, margin_box
from .images import ImageFileError, read_image
from .mosaic import Mosaic
from .person_zoom import PersonZoom
from .photographic import ColorJitter, Degradation
from .pose_transforms import transform_poses, transform_variances

__all__ = [
    "LCRNetDatasetMapper",
    "PoseTargets",
    "TilePeople",
    "build_augmentations",
    "build_training_mapper",
    "photo_in_tile",
]


#: Somebody cut off of whom at least this share of the image shows a part is near: a face, a hand or a torso. A person
#: of unknown pose, so that small boxes inside teach what is background; of crowds' insides nothing is learnt.
_NEAR = 1 / 6


class TilePeople(NamedTuple):
    """Everyone annotated in an augmented image, or in a tile of a mosaic; coordinates are the tile's own.

    Attributes:
        keypoints: (N, J, 3) px and v; poses_3d: (N, J, 3) m: the people whose 3D pose is known, with the
            variances_3d (N, J, 3) m^2 of its coordinates, 0 where it is exact.
        boxes_without_3d: (n, 4) annotated boxes of the others; crowd_boxes: (m, 4).
        size: (H, W) px of the tile.
        partly_annotated: there may be more people than are annotated.
        corner: (x, y) px, where the tile lies in the image.
        photo: (4,) px, x1, y1, x2, y2: where the tile shows the photo, the rest being grey; None: everywhere.
    """

    keypoints: Tensor
    poses_3d: Tensor
    variances_3d: Tensor
    boxes_without_3d: Tensor
    crowd_boxes: Tensor
    size: tuple[int, int]
    partly_annotated: bool
    corner: tuple[int, int] = (0, 0)
    photo: Tensor | None = None


@dataclass(frozen=True)
class PoseTargets:
    """Makes the training rows of one augmented image, or of all tiles of a mosaic at once.

    Attributes:
        anchors: label people by the nearest of these (Sec. 3.1).
        min_visible_fraction: rows whose box lies less than this inside the photo are dropped: what is seen of a
            person without another row is ignored like a crowd or, where it is much of the tile, a person without 3D.
        half_weight_std: metres; a 3D coordinate of this standard deviation counts half in the loss.
    """

    anchors: AnchorPoses
    min_visible_fraction: float = 0.25
    half_weight_std: float = 0.1

    def __call__(self, tiles: Sequence[TilePeople]) -> Instances:
        """
        Args:
            tiles: of one size; together they are the image.

        Returns:
            M rows: gt_boxes (clipped to the tile's photo), gt_classes (M,) in [0, C) or -1 without 3D,
            gt_kinds (M,), gt_keypoints (M, J, 3) px and v, at most 1 outside the photo, gt_poses_3d (M, J, 3) m,
            gt_pose_3d_weights (M, J, 3) in [0, 1], what each coordinate counts; zeros where unknown.
        """
        skeleton, (height, width) = self.anchors.skeleton, tiles[0].size
        fields: Any = list(zip(*tiles, strict=True))[:5]
        keypoints, poses_3d, variances, others, crowds = (torch.cat(of_tiles) for of_tiles in fields)
        corners = torch.tensor([tile.corner for tile in tiles]).repeat(1, 2)
        whole = torch.tensor([0.0, 0, width, height])
        photos = torch.stack([whole if tile.photo is None else tile.photo for tile in tiles])
        of_people, of_others, of_crowds = (
            torch.repeat_interleave(torch.tensor([len(boxes) for boxes in of_tiles]))
            for of_tiles in (fields[0], fields[3], fields[4])
        )
        # Joints beyond the photo's edge are seen neither on the grey around it nor on the tile beside it.
        inside = _inside(keypoints[..., :2], photos[of_people])
        v = torch.where(inside, keypoints[..., 2], keypoints[..., 2].clamp(max=1))
        upper, person = torch.zeros(len(keypoints), dtype=torch.bool), torch.arange(len(keypoints))
        boxes = margin_box(keypoints[..., :2])
        if self.anchors.has_upper_body:
            full = ((v >= 1) & inside)[:, skeleton.lower_limbs].any(1)
            upper_boxes = margin_box(keypoints[:, skeleton.upper_body, :2])
            boxes = torch.cat([boxes[full], upper_boxes])
            upper, person = torch.cat([upper[full], ~upper]), torch.cat([person[full], person])
        place = of_people[person]
        boxes, kept, cut_off = _clip(boxes, corners[place], photos[place], self.min_visible_fraction)
        cut_off &= ~torch.isin(person, person[kept])  # the other row of a person says who is there
        person = person[kept]
        labels = self.anchors.nearest(poses_3d[person], upper[kept])
        keypoints = torch.cat([keypoints[..., :2] + corners[of_people, None, :2], v[..., None]], -1)
        weights = 1 / (1 + variances[person] / self.half_weight_std**2)
        people = [boxes[kept], labels, keypoints[person], poses_3d[person], weights]
        others, others_kept, others_cut_off = _clip(
            others, corners[of_others], photos[of_others], self.min_visible_fraction
        )
        rests = torch.cat([boxes[cut_off], others[others_cut_off]])
        near = (rests[:, 2:] - rests[:, :2]).prod(1) >= _NEAR * height * width
        others = torch.cat([others[others_kept], rests[near]])
        crowds, crowds_kept, _ = _clip(crowds, corners[of_crowds], photos[of_crowds], 0.0)
        crowds = torch.cat([crowds[crowds_kept], rests[~near]])
        everywhere = (corners + whole)[[tile.partly_annotated for tile in tiles]]
        x, y = corners[:, :2].amax(0).tolist()
        return self._rows((y + height, x + width), people, {PERSON: others, CROWD: crowds, UNANNOTATED: everywhere})

    def _rows(self, image_size: tuple[int, int], people: list[Tensor], others: dict[int, Tensor]) -> Instances:
        boxes, classes, keypoints, poses_3d, weights = people
        extra = sum(len(b) for b in others.values())
        kinds = [torch.full((len(b),), kind) for kind, b in others.items()]
        rows = Instances(image_size)
        rows.gt_boxes = Boxes(torch.cat([boxes, *others.values()]))
        rows.gt_classes = torch.cat([classes, classes.new_full((extra,), -1)])
        rows.gt_kinds = torch.cat([torch.full((len(boxes),), PERSON), *kinds])
        known = {"gt_keypoints": keypoints, "gt_poses_3d": poses_3d, "gt_pose_3d_weights": weights}
        for name, values in known.items():
            rows.set(name, torch.cat([values, values.new_zeros((extra, *values.shape[1:]))]))
        return rows


def _inside(points: Tensor, photos: Tensor) -> Tensor:
    """(N, J) bool for points (N, J, 2) px in photos (N, 4) px."""
    return ((points >= photos[:, None, :2]) & (points < photos[:, None, 2:])).all(-1)


def _clip(boxes: Tensor, corners: Tensor, photos: Tensor, min_fraction: float) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (R, 4) clipped to their tiles' photos (R, 4), in the image, where the tiles' corners (R, 4) x, y, x, y lie;
    which are at least `min_fraction` in the photo; which others show something in it."""
    clipped = boxes.maximum(photos[:, :2].repeat(1, 2)).minimum(photos[:, 2:].repeat(1, 2))
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    clipped_area = (clipped[:, 2:] - clipped[:, :2]).prod(1)
    visible = clipped_area > 0
    kept = visible & (clipped_area >= min_fraction * area)
    return clipped + corners, kept, visible & ~kept


class LCRNetDatasetMapper:
    """Reads the image of a dataset dict (data/datasets/pose_json.py), augments it with its poses, labels them.

    In training it returns image, height, width, image_id, file_name and `instances`; otherwise no
    instances, with resizing as the only augmentation.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        augmentations: list[T.Augmentation],
        image_format: str,
        skeleton: Skeleton,
        targets: PoseTargets | None,
    ) -> None:
        """
        Args:
            augmentations: applied in order; only what pose_transforms.py can carry to 3D.
            image_format: "BGR" or "RGB".
            skeleton: of the annotations.
            targets: makes the training rows; None when testing.
        """
        self.is_train = is_train
        self.augmentations = T.AugmentationList(augmentations)
        self.image_format = image_format
        self.skeleton = skeleton
        self.targets = targets

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool) -> dict[str, Any]:
        targets = None
        if is_train:
            anchors = load_anchor_poses(cfg)
            lcrnet = cfg.INPUT.LCRNET
            targets = PoseTargets(anchors, lcrnet.MIN_VISIBLE_FRACTION, lcrnet.HALF_WEIGHT_STD)
        return {
            "is_train": is_train,
            "augmentations": build_augmentations(cfg, is_train, cfg.INPUT.LCRNET.CANVAS),
            "image_format": cfg.INPUT.FORMAT,
            "skeleton": SKELETONS[cfg.MODEL.LCRNET.SKELETON],
            "targets": targets,
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any] | None:
        """None for an image that cannot be read in training: it is named in the log and another takes its place."""
        augmented = self.augment(dataset_dict)
        return None if augmented is None else self.labelled(augmented)

    def augment(self, dataset_dict: dict[str, Any]) -> dict[str, Any] | None:
        """The dict without annotations, with image, (H, W, 3) uint8, and in training `tiles`, one `TilePeople`."""
        try:
            image = read_image(dataset_dict["file_name"], self.image_format)
            _check_size(image, dataset_dict)
        except ImageFileError as error:  # a missing file is another matter: with a wrong folder all would be
            if not self.is_train:
                raise
            logging.getLogger(__name__).error("Skipped in training: %s", error)
            return None
        augmented: Any = T.AugInput(image, boxes=_boxes(_people(dataset_dict)))
        transforms = self.augmentations(augmented)
        record = {key: value for key, value in dataset_dict.items() if key != "annotations"}
        record["image"] = augmented.image
        if self.targets is not None:
            photo = photo_in_tile(image.shape[:2], transforms, augmented.image.shape[:2])
            record["tiles"] = [self._people(dataset_dict, transforms, augmented.image.shape[:2], photo)]
        return record

    def labelled(self, augmented: dict[str, Any]) -> dict[str, Any]:
        """What `augment` or `mosaic.join_tiles` gave, as the network takes it."""
        record: dict[str, Any] = {**augmented, "image": torch.from_numpy(np.stack(cv2.split(augmented["image"])))}
        if self.targets is not None:
            record["instances"] = self.targets(record.pop("tiles"))
        return record

    def _people(
        self, dataset_dict: dict[str, Any], transforms: T.TransformList, size: tuple[int, int], photo: Tensor
    ) -> TilePeople:
        annotations = dataset_dict["annotations"]
        known = [a for a in annotations if "pose_3d" in a and not a["iscrowd"]]
        others = [a for a in annotations if "pose_3d" not in a and not a["iscrowd"]]
        crowds = [a for a in annotations if a["iscrowd"]]
        exact = np.zeros((len(self.skeleton), 3))
        keypoints = _per_joint([a["keypoints"] for a in known], self.skeleton)
        poses_3d = _per_joint([a["pose_3d"] for a in known], self.skeleton)
        variances = _per_joint([a.get("pose_3d_std", exact) for a in known], self.skeleton).square()
        keypoints, poses_3d = transform_poses(keypoints, poses_3d, transforms, self.skeleton)
        boxes = _boxes(others + crowds)
        boxes = torch.from_numpy(transforms.apply_box(boxes) if len(boxes) else boxes).float()
        return TilePeople(
            keypoints,
            poses_3d,
            transform_variances(variances, transforms, self.skeleton),
            boxes[: len(others)],
            boxes[len(others) :],
            size,
            bool(dataset_dict.get("partly_annotated", False)),
            photo=photo,
        )


def photo_in_tile(size: tuple[int, int], transforms: T.TransformList, tile_size: tuple[int, int]) -> Tensor:
    """(4,) px: where augmentations leave a photo of `size` (H, W) in a tile; corners that a rotation blackens count."""
    photo = np.array([[0.0, 0.0, size[1], size[0]]])
    for transform in transforms.transforms:
        rotated: Any = transform if isinstance(transform, T.RotationTransform) else None
        photo = transform.apply_box(photo)
        if rotated is not None:  # the image keeps its size
            photo = photo.clip(0, [rotated.w, rotated.h] * 2)
    return torch.from_numpy(photo[0].clip(0, [tile_size[1], tile_size[0]] * 2)).float()


def _people(dataset_dict: dict[str, Any]) -> list[dict[str, Any]]:
    """The annotations of single people; none in testing, where dataset dicts may have no annotations."""
    return [a for a in dataset_dict.get("annotations", []) if not a["iscrowd"]]


def _per_joint(values: list[Any], skeleton: Skeleton) -> Tensor:
    """(N, J, 3) of N lists or arrays."""
    return torch.from_numpy(np.array(values, dtype=np.float32)).view(-1, len(skeleton), 3)


def _boxes(annotations: list[dict[str, Any]]) -> np.ndarray:
    """(n, 4) px, x1, y1, x2, y2."""
    boxes = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in annotations]
    return np.array(boxes, dtype=float).reshape(-1, 4)


def _check_size(image: np.ndarray, dataset_dict: dict[str, Any]) -> None:
    height, width = image.shape[:2]
    expected = (dataset_dict.get("height", height), dataset_dict.get("width", width))
    if (height, width) != expected:
        raise ImageFileError(
            f"{dataset_dict['file_name']} is {width} x {height} px, its annotation says {expected[1]} x {expected[0]}"
        )


def load_anchor_poses(cfg: CfgNode) -> AnchorPoses:
    """Those at MODEL.LCRNET.ANCHOR_POSES, a file or `lcrnet://NAME/anchor_poses`.

    Raises:
        ValueError: none named, or K, skeleton or upper-body classes are not the config's.
        FileNotFoundError: nothing there.
    """
    lcrnet = cfg.MODEL.LCRNET
    if not lcrnet.ANCHOR_POSES:
        raise ValueError("MODEL.LCRNET.ANCHOR_POSES is empty; training needs a file of tools/build_anchor_poses.py")
    anchors = AnchorPoses.load(PathManager.get_local_path(lcrnet.ANCHOR_POSES))
    there = (anchors.num_full_body, anchors.skeleton.name, anchors.has_upper_body)
    here = (lcrnet.NUM_ANCHOR_POSES, lcrnet.SKELETON, lcrnet.UPPER_BODY)
    if there != here:
        raise ValueError(
            f"{lcrnet.ANCHOR_POSES} does not fit the config: K, skeleton, upper-body classes are {there} there, "
            f"{here} in MODEL.LCRNET (NUM_ANCHOR_POSES, SKELETON, UPPER_BODY)"
        )
    return anchors


def build_augmentations(cfg: CfgNode, is_train: bool, canvas: int = 0) -> list[T.Augmentation]:
    """Resize, and in training crop, flip, roll and colour, as the config asks.

    Args:
        canvas: side in px of the square that every training picture is scaled, cropped or padded to; 0 for
            Detectron2's resizing of the shortest edge.
    """
    if not is_train:
        return [T.ResizeShortestEdge(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, "choice")]
    out: list[T.Augmentation] = []
    lcrnet = cfg.INPUT.LCRNET
    if cfg.INPUT.CROP.ENABLED:
        out.append(T.RandomCrop(cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE))
    if lcrnet.ROTATION > 0:
        out.append(T.RandomRotation([-lcrnet.ROTATION, lcrnet.ROTATION], expand=False))
    out += _resizing(cfg, canvas)
    if cfg.INPUT.RANDOM_FLIP == "horizontal":
        out.append(T.RandomFlip())
    elif cfg.INPUT.RANDOM_FLIP != "none":
        raise ValueError(f"INPUT.RANDOM_FLIP is {cfg.INPUT.RANDOM_FLIP!r}, expected 'horizontal' or 'none'")
    if lcrnet.COLOR_JITTER > 0:
        low, high = 1 - lcrnet.COLOR_JITTER, 1 + lcrnet.COLOR_JITTER
        out.append(ColorJitter(low, high))
    if lcrnet.DEGRADATION > 0:
        out.append(Degradation(lcrnet.DEGRADATION))
    return out


def _resizing(cfg: CfgNode, canvas: int) -> list[T.Augmentation]:
    if cfg.INPUT.LCRNET.PERSON_SIZE:
        if canvas == 0:
            raise ValueError("INPUT.LCRNET.PERSON_SIZE is a share of a canvas: set INPUT.LCRNET.CANVAS")
        return [PersonZoom(canvas, cfg.INPUT.LCRNET.PERSON_SIZE, cfg.INPUT.LCRNET.CUT_PEOPLE)]
    if canvas > 0:
        low, high = cfg.INPUT.LCRNET.SCALE_RANGE
        # Detectron2 annotates the size as a tuple of one.
        crop = T.FixedSizeCrop((canvas, canvas))  # pyright: ignore[reportArgumentType]
        return [T.ResizeScale(low, high, canvas, canvas), crop]
    sizes, sampling = cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING
    return [T.ResizeShortestEdge(sizes, cfg.INPUT.MAX_SIZE_TRAIN, sampling)]


def build_training_mapper(cfg: CfgNode, dataset: list[dict[str, Any]], weights: list[float]) -> Any:
    """The mapper of training, with mosaics if INPUT.LCRNET.MOSAIC asks for them.

    Args:
        dataset: dataset dicts that mosaics are made of; weights: how often each is drawn.
    """
    lcrnet = cfg.INPUT.LCRNET
    mapper = LCRNetDatasetMapper(cfg, True)
    if lcrnet.MOSAIC == 0:
        return mapper
    if lcrnet.CANVAS == 0:
        raise ValueError("INPUT.LCRNET.MOSAIC needs pictures of one size: set INPUT.LCRNET.CANVAS")
    tiles = LCRNetDatasetMapper(cfg, True, augmentations=build_augmentations(cfg, True, lcrnet.CANVAS // 2))
    return Mosaic(mapper, tiles, dataset, weights, lcrnet.MOSAIC)
