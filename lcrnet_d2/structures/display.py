"""How a skeleton is shown: colours of its bones, and the metadata Detectron2's tools ask for."""

from __future__ import annotations

from typing import Any

from .skeleton import Skeleton

__all__ = ["SIDE_COLOURS", "bone_colour", "pose_metadata"]

#: RGB of the person's right side, left side and middle, in every picture.
SIDE_COLOURS = {"right": (220, 50, 47), "left": (38, 110, 210), "centre": (110, 110, 110)}


def bone_colour(bone: tuple[str, str]) -> tuple[int, int, int]:
    """RGB by the side the bone is on; bones from one side to the other are in the middle."""
    sides = {joint.split("_")[0] for joint in bone} & {"right", "left"}
    return SIDE_COLOURS[sides.pop() if len(sides) == 1 else "centre"]


def pose_metadata(skeleton: Skeleton) -> dict[str, Any]:
    """Entries of a MetadataCatalog record."""
    return {
        "thing_classes": ["person"],
        "keypoint_names": list(skeleton.joints),
        "keypoint_flip_map": list(skeleton.flip_pairs),
        "keypoint_connection_rules": [(*bone, bone_colour(bone)) for bone in skeleton.bones],
    }
