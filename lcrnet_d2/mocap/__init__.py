"""Poses of motion capture (datasets/sources/mocap reads them), virtual views and pseudo ground truth (Sec. 4.2)."""

from .lifter import LiftedPoses, Lifter, is_liftable, joint_trust
from .pose_base import PoseBase, distinct_poses, even_weights
from .pseudo_pose import PseudoPoses, PseudoPoseSearch, is_searchable
from .virtual_views import ViewBase, ViewRanges, random_views

__all__ = [
    "LiftedPoses",
    "Lifter",
    "PoseBase",
    "PseudoPoseSearch",
    "PseudoPoses",
    "ViewBase",
    "ViewRanges",
    "distinct_poses",
    "even_weights",
    "is_liftable",
    "is_searchable",
    "joint_trust",
    "random_views",
]
