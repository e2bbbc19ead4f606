"""Skeletons by joint names: orders, left/right pairs, bones and their colours, body parts, and how to get from one to
another.

Nothing else in the package knows a joint by its number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

__all__ = [
    "BODY13",
    "COCO17",
    "H36M17",
    "LCRNET17",
    "LIMBS",
    "LSP14",
    "MPII16",
    "MUPOTS17",
    "OPENPOSE25",
    "PERSON_COLOURS",
    "SIDE_COLOURS",
    "SKELETONS",
    "Skeleton",
    "bone_colour",
    "person_colour",
    "pose_metadata",
]

_TORSO = ("right_shoulder", "left_shoulder", "right_hip", "left_hip")
_LOWER_LIMBS = ("right_ankle", "left_ankle", "right_knee", "left_knee")

#: Limbs and the joints they go from and to, on either side of the body.
LIMBS = {
    **{"thigh": ("hip", "knee"), "shank": ("knee", "ankle")},
    **{"upper_arm": ("shoulder", "elbow"), "forearm": ("elbow", "wrist")},
}

_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")

# A joint a skeleton lacks is the mean of the first of these sets that the skeleton has.
# "head" is the middle of the head wherever it can be had, so that data sets can be mixed.
_SUBSTITUTES: dict[str, tuple[tuple[str, ...], ...]] = {
    "head": (
        ("neck", "head_top"),
        _FACE,
        ("head_top",),
    ),
    "head_top": (("head",),),
    "nose": (("head",),),
    "neck": (("left_shoulder", "right_shoulder"),),
    "thorax": (("neck",), ("left_shoulder", "right_shoulder")),
    "pelvis": (("left_hip", "right_hip"),),
    "spine": (("left_hip", "right_hip", "left_shoulder", "right_shoulder"),),
}


@dataclass(frozen=True)
class Skeleton:
    """An ordered set of named joints (J of them) with the bones between them.

    Names are COCO style (`left_shoulder`); left and right are the person's own.

    Raises:
        ValueError: a name twice, a bone between unknown joints, a left joint without its right
            twin, or one of the four torso joints missing (the body centre is their mean).
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        if len(set(self.joints)) != len(self.joints):
            raise ValueError(f"skeleton {self.name!r} names a joint twice: {self.joints}")
        needed = set(_TORSO) | {j for bone in self.bones for j in bone}
        needed |= {_mirrored(j) for j in self.joints}
        missing = sorted(needed - set(self.joints))
        if missing:
            raise ValueError(f"skeleton {self.name!r} lacks the joints {missing}; it has {list(self.joints)}")

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Position of a joint; ValueError names the joints there are."""
        if joint not in self.joints:
            raise ValueError(f"skeleton {self.name!r} has no joint {joint!r}; it has {list(self.joints)}")
        return self.joints.index(joint)

    def indices(self, joints: tuple[str, ...] | list[str]) -> list[int]:
        return [self.index(joint) for joint in joints]

    @cached_property
    def flip_pairs(self) -> tuple[tuple[str, str], ...]:
        """(left, right) joint names, the form of Detectron2's `keypoint_flip_map`."""
        return tuple((j, _mirrored(j)) for j in self.joints if j.startswith("left_"))

    @cached_property
    def flip_indices(self) -> list[int]:
        """`pose[flip_indices]` names the joints of a mirrored pose correctly again."""
        return self.indices([_mirrored(j) for j in self.joints])

    @cached_property
    def bone_indices(self) -> list[tuple[int, int]]:
        return [(self.index(a), self.index(b)) for a, b in self.bones]

    @cached_property
    def torso(self) -> list[int]:
        """Both shoulders and both hips: their mean is the body centre."""
        return self.indices(_TORSO)

    @cached_property
    def lower_limbs(self) -> list[int]:
        """Knees and ankles: seeing one of them earns a full-body training box (Sec. 4.2)."""
        return [i for i, j in enumerate(self.joints) if j in _LOWER_LIMBS]

    @cached_property
    def upper_body(self) -> list[int]:
        """Everything but knees and ankles: the joints an upper-body box is drawn around."""
        return [i for i in range(len(self)) if i not in self.lower_limbs]

    @cached_property
    def limbs(self) -> dict[str, tuple[list[int], list[int]]]:
        """Where the left and the right one of each of `LIMBS` begin and end, of those whose joints there are."""
        ends = {limb: tuple([f"{side}_{part}" for side in ("left", "right")] for part in LIMBS[limb]) for limb in LIMBS}
        return {
            limb: (self.indices(first), self.indices(last))
            for limb, (first, last) in ends.items()
            if set(first + last) <= set(self.joints)
        }

    def sources_in(self, source: Skeleton) -> dict[str, tuple[str, ...]]:
        """For each of my joints the joints of `source` whose mean it is; one name means it is the same joint.

        Joints that `source` cannot give are left out.
        """
        found: dict[str, tuple[str, ...]] = {}
        for joint in self.joints:
            candidates = ((joint,), *_SUBSTITUTES.get(joint, ()))
            known = [names for names in candidates if set(names) <= set(source.joints)]
            if known:
                found[joint] = known[0]
        return found

    def convert_from(
        self, source: Skeleton, poses: torch.Tensor, visibility: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Poses of another skeleton in my joints.

        Args:
            source: skeleton of `poses`, J' joints.
            poses: (..., J', d) coordinates of any kind.
            visibility: (..., J') v of each joint, 0 = not annotated, whatever its coordinates hold (NaN too); all 2
                if None.

        Returns:
            (..., J, d) poses, 0 where nothing is annotated, and (..., J) visibility. A joint made of
            several needs all of them annotated (one hip is no pelvis), but any point of the face
            will do for a head; it takes their mean and the least of their visibilities.
        """
        if visibility is None:
            visibility = torch.full(poses.shape[:-1], 2, dtype=torch.long, device=poses.device)
        out = poses.new_zeros((*poses.shape[:-2], len(self), poses.shape[-1]))
        out_visibility = visibility.new_zeros((*visibility.shape[:-1], len(self)))
        for joint, names in self.sources_in(source).items():
            columns = source.indices(names)
            v = visibility[..., columns]
            annotated = v > 0
            known = annotated.any(-1) if names == _FACE else annotated.all(-1)
            used = torch.where(annotated[..., None], poses[..., columns, :], 0)  # 0 * NaN would be NaN
            mean = used.sum(-2) / annotated.sum(-1, keepdim=True).clamp(min=1)
            out[..., self.index(joint), :] = torch.where(known[..., None], mean, torch.zeros_like(mean))
            lowest = torch.where(annotated, v, torch.full_like(v, 2)).amin(-1)
            out_visibility[..., self.index(joint)] = torch.where(known, lowest, torch.zeros_like(lowest))
        return out, out_visibility


def _mirrored(joint: str) -> str:
    if joint.startswith("left_"):
        return "right_" + joint[len("left_") :]
    if joint.startswith("right_"):
        return "left_" + joint[len("right_") :]
    return joint


def _sides(*bones: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Each bone on the right side and on the left; names without a side stay."""
    centre = {"head", "head_top", "nose", "neck", "thorax", "spine", "pelvis"}

    def name(side: str, joint: str) -> str:
        return joint if joint in centre else f"{side}_{joint}"

    return tuple((name(side, a), name(side, b)) for side in ("right", "left") for a, b in bones)


_LIMBS = (("ankle", "knee"), ("knee", "hip"), ("wrist", "elbow"), ("elbow", "shoulder"))
_SQUARE = (*_sides(("hip", "shoulder")), ("right_hip", "left_hip"), ("right_shoulder", "left_shoulder"))

#: The paper's 13 joints, in the order of the published models.
BODY13 = Skeleton(
    "BODY13",
    (
        *("right_ankle", "left_ankle", "right_knee", "left_knee", "right_hip", "left_hip"),
        *("right_wrist", "left_wrist", "right_elbow", "left_elbow", "right_shoulder", "left_shoulder", "head"),
    ),
    (*_sides(*_LIMBS, ("shoulder", "head")), *_SQUARE),
)
COCO17 = Skeleton(
    "COCO17",
    (
        *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
        *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
        *("left_knee", "right_knee", "left_ankle", "right_ankle"),
    ),
    (*_sides(*_LIMBS, ("ear", "eye"), ("eye", "nose"), ("shoulder", "nose")), *_SQUARE),
)
#: Human3.6M's usual 17 of 32. "head" is its joint 9 (nose), "head_top" its joint 10.
H36M17 = Skeleton(
    "H36M17",
    (
        *("pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("spine", "neck", "head", "head_top", "left_shoulder", "left_elbow", "left_wrist"),
        *("right_shoulder", "right_elbow", "right_wrist"),
    ),
    (
        *_sides(*_LIMBS, ("hip", "pelvis"), ("shoulder", "neck")),
        *(("pelvis", "spine"), ("spine", "neck"), ("neck", "head"), ("head", "head_top")),
    ),
)
#: Of published LCR-Net models of 17 joints: the 13, then Human3.6M's joints of the spine. Joint 12, the head among the
#: 13, is here Human3.6M's joint 10, the top of the head, and 16 is its joint 9.
LCRNET17 = Skeleton(
    "LCRNET17",
    (*BODY13.joints[:12], "head_top", "pelvis", "spine", "neck", "head"),
    H36M17.bones,
)
MPII16 = Skeleton(
    "MPII16",
    (
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("pelvis", "thorax", "neck", "head_top", "right_wrist", "right_elbow", "right_shoulder"),
        *("left_shoulder", "left_elbow", "left_wrist"),
    ),
    (
        *_sides(*_LIMBS, ("hip", "pelvis"), ("shoulder", "thorax")),
        *(("pelvis", "thorax"), ("thorax", "neck"), ("neck", "head_top")),
    ),
)
LSP14 = Skeleton(
    "LSP14",
    (
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
        *("neck", "head_top"),
    ),
    (*_sides(*_LIMBS, ("shoulder", "neck")), *_SQUARE[:2], ("right_hip", "left_hip"), ("neck", "head_top")),
)
MUPOTS17 = Skeleton(
    "MUPOTS17",
    (
        *("head_top", "neck", "right_shoulder", "right_elbow", "right_wrist"),
        *("left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle"),
        *("left_hip", "left_knee", "left_ankle", "pelvis", "spine", "head"),
    ),
    (
        *_sides(*_LIMBS, ("hip", "pelvis"), ("shoulder", "neck")),
        *(("pelvis", "spine"), ("spine", "neck"), ("neck", "head"), ("head", "head_top")),
    ),
)

#: OpenPose's BODY_25.
OPENPOSE25 = Skeleton(
    "OPENPOSE25",
    (
        *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
        *("pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("right_eye", "left_eye", "right_ear", "left_ear"),
        *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
    ),
    (
        *_sides(*_LIMBS, ("hip", "pelvis"), ("shoulder", "neck"), ("ear", "eye"), ("eye", "nose")),
        *_sides(("ankle", "heel"), ("ankle", "big_toe"), ("big_toe", "small_toe")),
        *(("pelvis", "neck"), ("neck", "nose")),
    ),
)

SKELETONS: dict[str, Skeleton] = {
    s.name: s for s in (BODY13, COCO17, H36M17, LCRNET17, LSP14, MPII16, MUPOTS17, OPENPOSE25)
}

#: RGB of the person's right side, left side and middle, in every image.
SIDE_COLOURS = {"right": (220, 50, 47), "left": (38, 110, 210), "centre": (110, 110, 110)}

#: RGB that tell people apart and are neither of SIDE_COLOURS; dark enough for white text on them.
PERSON_COLOURS = (
    (201, 98, 0),
    (22, 138, 71),
    (137, 68, 182),
    (0, 133, 150),
    (199, 46, 130),
    (120, 109, 0),
    (122, 72, 48),
    (74, 84, 158),
)


def bone_colour(bone: tuple[str, str]) -> tuple[int, int, int]:
    """RGB by the side the bone is on; bones from one side to the other are in the middle."""
    sides = {joint.split("_")[0] for joint in bone} & {"right", "left"}
    return SIDE_COLOURS[sides.pop() if len(sides) == 1 else "centre"]


def person_colour(number: int) -> tuple[int, int, int]:
    """RGB of a person's number: the identity in a video, the rank of the score in an image."""
    return PERSON_COLOURS[number % len(PERSON_COLOURS)]


def pose_metadata(skeleton: Skeleton) -> dict[str, Any]:
    """Entries of a MetadataCatalog record; with it Detectron2's own Visualizer draws our Instances."""
    return {
        "thing_classes": ["person"],
        "keypoint_names": list(skeleton.joints),
        "keypoint_flip_map": list(skeleton.flip_pairs),
        "keypoint_connection_rules": [(*bone, bone_colour(bone)) for bone in skeleton.bones],
    }
