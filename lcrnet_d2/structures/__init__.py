"""Values: skeletons, anchor poses, pose geometry. They know no data set and no model."""

from .anchor_poses import AnchorPoses
from .display import PERSON_COLOURS, SIDE_COLOURS, bone_colour, person_colour, pose_metadata
from .ignore_regions import CROWD, PERSON, UNANNOTATED, intersections, lies_in_ignored_region
from .pixels import PIXEL_CENTRE
from .pose_geometry import (
    body_centre,
    centre_poses,
    joint_box,
    margin_box,
    mirror_poses_3d,
    paired_distance,
    pose_distance,
    to_box_units,
)
from .skeleton import BODY13, COCO17, H36M17, LCRNET17, LSP14, MPII16, MUPOTS17, OPENPOSE25, SKELETONS, Skeleton

__all__ = [
    "BODY13",
    "COCO17",
    "CROWD",
    "H36M17",
    "LCRNET17",
    "LSP14",
    "MPII16",
    "MUPOTS17",
    "OPENPOSE25",
    "PERSON",
    "PERSON_COLOURS",
    "PIXEL_CENTRE",
    "SIDE_COLOURS",
    "SKELETONS",
    "UNANNOTATED",
    "AnchorPoses",
    "Skeleton",
    "body_centre",
    "bone_colour",
    "centre_poses",
    "intersections",
    "joint_box",
    "lies_in_ignored_region",
    "margin_box",
    "mirror_poses_3d",
    "paired_distance",
    "person_colour",
    "pose_distance",
    "pose_metadata",
    "to_box_units",
]
