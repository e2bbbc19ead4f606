"""Weights: our checkpoints, published ones, and converters of others' networks."""

from .backbone_weights import PIP_WEIGHTS, backbone_weights
from .checkpointer import BEST_CHECKPOINT, LCRNetCheckpointer, without_wrapper
from .path_handler import LCRNET_WEIGHTS

__all__ = [
    "BEST_CHECKPOINT",
    "LCRNET_WEIGHTS",
    "PIP_WEIGHTS",
    "LCRNetCheckpointer",
    "backbone_weights",
    "without_wrapper",
]
