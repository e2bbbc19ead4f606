"""Weights: our checkpoints, and converters of others' backbones."""

from .backbone_weights import PIP_WEIGHTS, backbone_weights
from .checkpointer import BEST_CHECKPOINT, LCRNetCheckpointer, without_wrapper

__all__ = ["BEST_CHECKPOINT", "PIP_WEIGHTS", "LCRNetCheckpointer", "backbone_weights", "without_wrapper"]
