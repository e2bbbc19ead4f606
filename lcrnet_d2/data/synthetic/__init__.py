"""People of motion capture (mocap.cs.cmu.edu) drawn with a known camera, for quick start and tests.

Drawing is loaded when a set is made.
"""

from .builtin import SYNTHETIC_SETS, SyntheticSet, register_synthetic_sets

__all__ = ["SYNTHETIC_SETS", "SyntheticSet", "register_synthetic_sets"]
