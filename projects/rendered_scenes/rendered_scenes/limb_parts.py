"""The parts of a body whose turns motion capture gives and rendered bodies take, and the turn between two directions.

Turns are from one canonical pose: upright, facing +z, y up, left hand at +x, arms straight out, legs straight down,
feet forward.
"""

from __future__ import annotations

import numpy as np

__all__ = ["PARTS", "turn_between"]

#: Named as the bones of ASF files.
PARTS: tuple[str, ...] = (
    *("root", "lowerback", "upperback", "thorax", "lowerneck", "upperneck", "head"),
    *(side + part for side in "lr" for part in ("clavicle", "femur", "tibia", "foot", "humerus", "radius", "wrist")),
)


def turn_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(3, 3) the smallest rotation that takes direction `start` (3,) to `end` (3,), of any length.

    Of opposite directions, which half a turn about any axis square to them takes to each other, it is one of those.
    """
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis, cosine = np.cross(start, end), float(start @ end)
    if cosine < -1 + 1e-9:
        helper = np.eye(3)[np.abs(start).argmin()]
        square = np.cross(start, helper)
        square /= np.linalg.norm(square)
        return 2 * np.outer(square, square) - np.eye(3)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)
