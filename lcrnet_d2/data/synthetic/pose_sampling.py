"""Draws a pose of a family and settles it: mirrored or not, feet levelled, trunk above the feet, no limb in another."""

from __future__ import annotations

from dataclasses import replace
from math import atan2, degrees

import numpy as np

from .articulation import (
    BodyShape,
    JointAngles,
    PosedBody,
    forward_kinematics,
    mirror_angles,
    self_penetration,
    sole_heights,
    stand_on_ground,
)
from .pose_families import FAMILIES, Posture

__all__ = ["level_feet", "sample_posed_body"]

_MAX_PENETRATION = 0.03  # metres; clothes and flesh give way by about as much
_ATTEMPTS = 15


def sample_posed_body(rng: np.random.Generator, shape: BodyShape) -> tuple[PosedBody, Posture]:
    """A random body standing on y = 0, facing +z, and the posture it has.

    Postures in which the limbs run through the body are drawn again, up to 15 times; then the least bad stays.
    """
    names = list(FAMILIES)
    weights = np.array([FAMILIES[name][1] for name in names])
    family = names[rng.choice(len(names), p=weights / weights.sum())]
    best = _candidate(rng, family, shape)
    for _ in range(_ATTEMPTS - 1):
        if best[0] < _MAX_PENETRATION:
            break
        best = min(best, _candidate(rng, family, shape), key=lambda candidate: candidate[0])
    _, body, posture = best
    return stand_on_ground(body, posture.lift), posture


def _candidate(rng: np.random.Generator, family: str, shape: BodyShape) -> tuple[float, PosedBody, Posture]:
    """(metres of self-penetration, body, posture) of one draw; every second one is mirrored."""
    posture = FAMILIES[family][0](rng)
    if rng.random() < 0.5:
        posture = replace(posture, angles=mirror_angles(posture.angles))
    if posture.level:
        posture = replace(posture, angles=level_feet(shape, posture.angles))
    if posture.balanced:
        posture = replace(posture, angles=_balanced(shape, posture.angles))
    body = forward_kinematics(shape, posture.angles)
    return self_penetration(body), body, posture


def level_feet(shape: BodyShape, angles: JointAngles) -> JointAngles:
    """Bends the longer leg (knee by x, hip by x / 2) until both soles are at one height; bisection over x."""
    heights = sole_heights(shape, angles)
    longer = int(np.argmin(heights))

    def bent(extra: float) -> JointAngles:
        knee, hip = angles.knee.copy(), angles.hip.copy()
        knee[longer] += extra
        hip[longer, 0] += extra / 2
        return replace(angles, knee=knee, hip=hip)

    low, high = 0.0, 90.0
    for _ in range(6):
        middle = (low + high) / 2
        heights = sole_heights(shape, bent(middle))
        low, high = (middle, high) if heights[longer] < heights[1 - longer] else (low, middle)
    return bent(low)


def _balanced(shape: BodyShape, angles: JointAngles) -> JointAngles:
    """Turns the whole body about the hips until trunk and head are above the lower foot, or between level feet."""
    for _ in range(2):
        body = forward_kinematics(shape, angles)
        heights = sole_heights(shape, angles)
        weights = 1.0 / (0.02 + heights - heights.min())  # a foot 10 cm up carries a sixth
        feet = np.stack([(body.points[f"{s}_heel"] + body.points[f"{s}_toes"]) / 2 for s in ("right", "left")])
        support = (weights[:, None] * feet).sum(0) / weights.sum()
        mass = 0.3 * body.points["pelvis"] + 0.5 * body.points["ribs"] + 0.2 * body.points["head"]
        above = mass - support
        lean = np.array([degrees(atan2(above[2], above[1])), degrees(atan2(above[0], above[1])), 0.0])
        angles = replace(angles, pelvis=angles.pelvis - np.clip(lean, -30, 30))
    return angles
