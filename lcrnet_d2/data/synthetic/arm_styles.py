"""What people do with their arms: hanging, crossed, waving, overhead ... whatever their legs do."""

from __future__ import annotations

from math import cos

import numpy as np

__all__ = ["sample_arms", "swinging_arms"]

#: Arm styles: lowest and highest (shoulder flexion, abduction, rotation inwards, elbow flexion), and a weight.
_ARM_STYLES: dict[str, tuple[tuple[float, ...], tuple[float, ...], float]] = {
    "hanging": ((-15, 4, -10, 5), (20, 20, 40, 40), 5.0),
    "on the hip": ((-35, 35, 60, 85), (-8, 55, 80, 115), 1.0),
    "crossed": ((28, -5, 55, 90), (48, 10, 80, 115), 1.0),
    "forwards": ((55, -12, -20, 2), (115, 35, 40, 50), 1.4),
    "overhead": ((120, 0, -30, 2), (172, 50, 40, 60), 1.3),
    "sideways": ((-12, 55, -40, 2), (25, 115, 30, 55), 1.0),
    "waving": ((-5, 45, -95, 50), (35, 105, -60, 130), 1.1),
    "to the face": ((30, 8, 15, 112), (80, 40, 60, 142), 1.0),
    "behind the back": ((-45, 4, 45, 55), (-15, 20, 80, 95), 0.5),
    "carrying": ((0, 4, -5, 65), (35, 22, 35, 115), 1.0),
    "anywhere": ((-45, -5, -80, 2), (165, 120, 70, 140), 1.0),
}


def sample_arms(rng: np.random.Generator) -> np.ndarray:
    """(2, 4) shoulder angles and elbow of both arms; half of the people do the same with both."""
    weights = np.array([style[2] for style in _ARM_STYLES.values()])
    chosen = rng.choice(len(weights), 2, p=weights / weights.sum())
    if rng.random() < 0.5:
        chosen[1] = chosen[0]
    styles = list(_ARM_STYLES.values())
    return np.stack([rng.uniform(*styles[i][:2]) for i in chosen])


def swinging_arms(
    rng: np.random.Generator, phase: float, amplitude: float, elbow: tuple[float, float]
) -> dict[str, np.ndarray]:
    """Arms against the legs: the right arm is in front when the left leg is."""
    swing = amplitude * cos(phase)
    shoulder = np.stack([rng.uniform([s - 6, 3, 0], [s + 6, 16, 35]) for s in (swing, -swing)])
    return {"shoulder": shoulder, "elbow": rng.uniform(*elbow, 2) + np.array([0.2, -0.2]) * swing}
