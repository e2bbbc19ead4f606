"""Posed people rendered with a known camera: a quick start, tests, extra training data."""

from .builtin import SYNTHETIC_SETS, SyntheticSet, register_synthetic_sets
from .dataset import make_synthetic_set, scene_to_dataset_dict, synthetic_dataset_dicts
from .scene import SPLITS, SyntheticPerson, SyntheticScene, make_scene

__all__ = [
    "SPLITS",
    "SYNTHETIC_SETS",
    "SyntheticPerson",
    "SyntheticScene",
    "SyntheticSet",
    "make_scene",
    "make_synthetic_set",
    "register_synthetic_sets",
    "scene_to_dataset_dict",
    "synthetic_dataset_dicts",
]
