"""People of MPII's release as scipy writes them to Matlab files."""

from __future__ import annotations

from typing import Any

import numpy as np

from lcrnet_d2.structures import BODY13, MPII16
from tests_support import standing_pose


def cells(*values: Any) -> np.ndarray:
    """A 1 x n cell array."""
    array = np.empty((1, len(values)), dtype=object)
    array[0] = values
    return array


def joints_at(x: float) -> np.ndarray:
    """(16, 2) pixels as MPII gives them: the standing person at 100 px per metre, 160 px high, about (x, 100)."""
    points, _ = MPII16.convert_from(BODY13, 100 * standing_pose())
    return points.double().numpy()[:, :2] + [x, 100]


def rect(x: float, with_joints: bool = True) -> dict[str, Any]:
    """Their annotation; the head box is 18 x 24 px."""
    points = [{"id": j, "x": px, "y": py, "is_visible": 1} for j, (px, py) in enumerate(joints_at(x).tolist())]
    place = {"scale": 0.8, "objpos": {"x": x, "y": 115.0}}
    head = {"x1": x - 9, "y1": 10, "x2": x + 9, "y2": 34}
    return {**place, **head, "annopoints": {"point": points}} if with_joints else place
