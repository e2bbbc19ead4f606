"""LCR-Net (Rogez, Weinzaepfel, Schmid, CVPR 2017): 2D and 3D poses of everyone in an image, on Detectron2."""

try:
    import detectron2  # noqa: F401
except ImportError as error:
    raise ImportError(
        "lcrnet_d2 needs Detectron2, which PyPI does not carry under its name. `make setup` installs it, or:\n"
        "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'\n"
        "docs/INSTALL.md has the way without a compiler."
    ) from error

from .config import add_lcrnet_config
from .data import LCRNetDatasetMapper
from .data.synthetic import register_synthetic_sets
from .detected_people import DetectedPeople
from .evaluation import PoseEvaluator
from .modeling import LCRNetROIHeads, integrate_pose_proposals
from .predictor import PosePredictor
from .structures import AnchorPoses, Skeleton

__version__ = "0.1.0"

__all__ = [
    "AnchorPoses",
    "DetectedPeople",
    "LCRNetDatasetMapper",
    "LCRNetROIHeads",
    "PoseEvaluator",
    "PosePredictor",
    "Skeleton",
    "add_lcrnet_config",
    "integrate_pose_proposals",
]

register_synthetic_sets()
