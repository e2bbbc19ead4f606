"""How a skeleton is shown: colours of its bones and people, and the metadata Detectron2's tools ask for."""

from __future__ import annotations

from typing import Any

from .skeleton import Skeleton

__all__ = ["PERSON_COLOURS", "SIDE_COLOURS", "bone_colour", "person_colour", "pose_metadata"]

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
