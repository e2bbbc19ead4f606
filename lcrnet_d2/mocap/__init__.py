"""Motion capture in, 13-joint poses in metres out; virtual views and pseudo ground truth (Sec. 4.2)."""

from .lifter import LiftedPoses, Lifter, is_liftable, joint_trust
from .pose_base import PoseBase, distinct_poses, even_weights
from .pseudo_pose import PseudoPoses, PseudoPoseSearch, is_searchable
from .take import BrokenTakeError, Take
from .takes import read_takes
from .virtual_views import ViewBase, ViewRanges, random_views

__all__ = [
    "BrokenTakeError",
    "LiftedPoses",
    "Lifter",
    "PoseBase",
    "PseudoPoseSearch",
    "PseudoPoses",
    "Take",
    "ViewBase",
    "ViewRanges",
    "distinct_poses",
    "even_weights",
    "is_liftable",
    "is_searchable",
    "joint_trust",
    "random_views",
    "read_takes",
]
