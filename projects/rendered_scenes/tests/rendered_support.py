"""Made-up motions for the tests of rendered scenes."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from lcrnet_d2.structures import BODY13
from rendered_scenes.limb_parts import PARTS
from rendered_scenes.motions import Motions

_ARM = ("humerus", "radius", "wrist")


def bent(**angles: tuple[float, float, float]) -> np.ndarray:
    """(T, 4) quaternions of the canonical pose with arms down, some parts turned by xyz angles in degrees."""
    down = {f"{side}{part}": (0.0, 0.0, sign * 80.0) for side, sign in (("l", -1), ("r", 1)) for part in _ARM}
    turns = down | angles
    return np.stack([Rotation.from_euler("xyz", turns.get(part, (0, 0, 0)), degrees=True).as_quat() for part in PARTS])


def some_motions() -> Motions:
    """Standing, both thighs forward by 60 degrees, the left arm straight up."""
    up = {f"l{part}": (0.0, 0.0, 90.0) for part in _ARM}
    turns = np.stack([bent(), bent(lfemur=(-60, 0, 0), rfemur=(-60, 0, 0)), bent(**up)]).astype(np.float32)
    poses = np.random.default_rng(0).normal(0, 0.3, (3, len(BODY13), 3)).astype(np.float32)
    return Motions(turns, np.zeros(3, np.float32), poses, np.full(3, 1 / 3))
