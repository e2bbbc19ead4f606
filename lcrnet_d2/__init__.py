"""LCR-Net (Rogez, Weinzaepfel, Schmid, CVPR 2017): 2D and 3D poses of everyone in an image, on Detectron2.

Importing this registers the network, the weights' addresses and the built-in data sets with Detectron2; what detects,
evaluates and draws is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    import detectron2  # noqa: F401
except ImportError as error:
    raise ImportError(
        "lcrnet_d2 needs Detectron2, which PyPI does not carry under its name. `make setup` installs it, or:\n"
        "pip install --no-build-isolation 'git+https://github.com/facebookresearch/detectron2.git'\n"
        "docs/INSTALL.md has the way without a compiler."
    ) from error

from .checkpoint import catalogue  # noqa: F401  lcrnet://
from .config import add_lcrnet_config
from .data import LCRNetDatasetMapper
from .data.synthetic import register_synthetic_sets
from .modeling import LCRNetROIHeads, integrate_pose_proposals
from .structures import AnchorPoses, Skeleton

if TYPE_CHECKING:
    from .detected_people import DetectedPeople
    from .evaluation import PoseEvaluator
    from .predictor import PosePredictor

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

_LOADED_ON_USE = {"DetectedPeople": "detected_people", "PoseEvaluator": "evaluation", "PosePredictor": "predictor"}


def __getattr__(name: str) -> Any:
    if name in _LOADED_ON_USE:
        return getattr(import_module(f".{_LOADED_ON_USE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register_synthetic_sets()
