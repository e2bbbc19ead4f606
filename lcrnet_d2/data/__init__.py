"""From annotation files and images to training rows."""

from .dataset_mapper import LCRNetDatasetMapper, PoseTargets, load_anchor_poses
from .images import ImageFileError, read_image

__all__ = ["ImageFileError", "LCRNetDatasetMapper", "PoseTargets", "load_anchor_poses", "read_image"]
