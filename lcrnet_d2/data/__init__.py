"""From annotation files and images to training rows."""

from .dataset_mapper import LCRNetDatasetMapper, PoseTargets, TilePeople, build_training_mapper, load_anchor_poses
from .images import ImageFileError, check_image_size, read_image

__all__ = [
    "ImageFileError",
    "LCRNetDatasetMapper",
    "PoseTargets",
    "TilePeople",
    "build_training_mapper",
    "check_image_size",
    "load_anchor_poses",
    "read_image",
]
