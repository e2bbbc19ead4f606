"""Families of poses: standing, walking, sitting ... with random phases, amplitudes and jitter (no two alike).

Each family is a function of the random generator that gives angles with the *left* leg as the leading one;
`pose_sampling` mirrors every second pose, so that left and right are used alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi

import numpy as np

from .arm_styles import sample_arms, swinging_arms
from .articulation import JointAngles

__all__ = ["FAMILIES", "Posture"]

Rng = np.random.Generator

RIGHT, LEFT = 0, 1
_FREE = np.array([False, False])  # both ankles as their angles say, soles not put on the ground


@dataclass(frozen=True)
class Posture:
    """What a family gives.

    Attributes:
        angles: the joint angles.
        balanced: lean until the trunk is above the feet.
        level: bend the longer leg until both feet are on the ground.
        lift: metres above the ground (jumps).
        seated: the pelvis wants something to sit on.
    """

    angles: JointAngles
    balanced: bool = False
    level: bool = False
    lift: float = 0.0
    seated: bool = False


def _rest(rng: Rng) -> JointAngles:
    """Upright with arms by arm styles and small random leans."""
    arms = sample_arms(rng)
    return JointAngles(
        pelvis=rng.normal(0, [3, 2, 0]),
        spine=rng.normal([3, 0, 0], [6, 5, 9]),
        neck=rng.normal([5, 0, 0], [13, 7, 22]),
        hip=rng.uniform([-4, 0, 0], [6, 10, 20], (2, 3)),
        knee=rng.uniform(0, 12, 2),
        ankle=rng.normal(0, 8, 2),
        shoulder=arms[:, :3],
        elbow=arms[:, 3],
        wrist=rng.normal(0, 18, 2),
        flat=np.array([True, True]),
    )


def _gait(rng: Rng, amplitude: float, knee_peak: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phases of the legs (2,) (0: one touches down, pi: it leaves), hip flexion (2,), knee flexion (2,).

    The leg swings through with a bent knee, bent most about a third into the swing (phase 4.3).
    """
    phase = rng.uniform(0, 2 * pi)
    phases = np.array([phase + pi, phase]) % (2 * pi)
    hip = 0.15 * amplitude + amplitude * np.cos(phases)
    knee = 6 + knee_peak * np.exp(-(((phases - 4.3) / 0.85) ** 2))
    return phases, hip, knee


def _standing(rng: Rng) -> Posture:
    angles = _rest(rng)
    if rng.random() < 0.45:  # the weight on one leg
        hip, knee = angles.hip.copy(), angles.knee.copy()
        hip[LEFT] = rng.uniform([5, 2, 0], [28, 22, 35])
        knee[LEFT] = hip[LEFT, 0] * rng.uniform(1.0, 1.6)
        angles = replace(angles, hip=hip, knee=knee)
    elif rng.random() < 0.3:  # legs apart
        angles = replace(angles, hip=rng.uniform([-5, 14, 5], [8, 30, 30], (2, 3)))
    return Posture(angles, balanced=True, level=True)


def _walking(rng: Rng) -> Posture:
    angles = _rest(rng)
    phases, flexion, knee = _gait(rng, rng.uniform(15, 30), rng.uniform(40, 62))
    hip = angles.hip.copy()
    hip[:, 0] = flexion
    arms = swinging_arms(rng, phases[LEFT], rng.uniform(12, 35), (8, 40)) if rng.random() < 0.7 else {}
    spine = angles.spine + np.array([0, 0, -0.2 * flexion[RIGHT] + 0.2 * flexion[LEFT]])
    flat = phases < 0.75 * pi
    ankle = np.where(phases < 1.2 * pi, rng.uniform(-35, -15), rng.uniform(-10, 5))
    return Posture(replace(angles, hip=hip, knee=knee, spine=spine, flat=flat, ankle=ankle, **arms))


def _running(rng: Rng) -> Posture:
    angles = _rest(rng)
    phases, flexion, knee = _gait(rng, rng.uniform(32, 55), rng.uniform(75, 115))
    hip = angles.hip.copy()
    hip[:, 0] = flexion + 12
    arms = swinging_arms(rng, phases[LEFT], rng.uniform(28, 55), (70, 115))
    pelvis = rng.normal([14, 0, 0], [5, 3, 5])
    ankle = rng.uniform(-35, 10, 2)
    lift = rng.uniform(0, 0.1) if rng.random() < 0.5 else 0.0
    return Posture(replace(angles, hip=hip, knee=knee, pelvis=pelvis, ankle=ankle, flat=_FREE, **arms), lift=lift)


def _sitting(rng: Rng) -> Posture:
    angles = _rest(rng)
    lean = rng.uniform(-18, 15)
    hip = rng.uniform([80 + lean, 0, -5], [97 + lean, 24, 25], (2, 3))
    knee = rng.uniform(60, 105, 2) if rng.random() < 0.75 else rng.uniform(20, 70, 2)
    if rng.random() < 0.25:  # one leg over the other
        hip[LEFT] = (hip[LEFT, 0] + rng.uniform(10, 20), rng.uniform(-16, -6), rng.uniform(0, 30))
    spine = rng.normal([12, 0, 0], [10, 6, 9])
    pelvis = np.array([lean, rng.normal(0, 2), 0.0])
    return Posture(replace(angles, hip=hip, knee=knee, pelvis=pelvis, spine=spine), seated=True)


def _sitting_on_the_ground(rng: Rng) -> Posture:
    angles = _rest(rng)
    lean = rng.uniform(-30, 5)
    hip = rng.uniform([86 + lean, 0, 0], [90 + lean, 30, 45], (2, 3))
    knee = rng.uniform(0, 15, 2)
    for side in range(2):
        if rng.random() < 0.6:  # knee drawn up, the foot stays on the ground
            up = rng.uniform(10, 48)
            hip[side, 0] += up
            knee[side] = 2.0 * up + rng.uniform(-5, 10)
    pelvis = np.array([lean, rng.normal(0, 2), 0.0])
    return Posture(replace(angles, hip=hip, knee=knee, pelvis=pelvis, spine=rng.normal([15, 0, 0], [12, 6, 10])))


def _crouching(rng: Rng) -> Posture:
    angles = _rest(rng)
    depth = rng.uniform(0.35, 1.0)
    hip = rng.uniform([95, 4, 5], [120, 32, 35], (2, 3)) * [depth, 1, 1]
    knee = depth * rng.uniform(110, 140) + rng.normal(0, 6, 2)
    pelvis = np.array([rng.uniform(5, 35), 0.0, 0.0])
    return Posture(replace(angles, hip=hip, knee=knee, pelvis=pelvis), balanced=True, level=True)


def _kneeling(rng: Rng) -> Posture:
    angles = _rest(rng)
    hip, knee = angles.hip.copy(), rng.uniform(85, 100, 2)
    ankle = rng.uniform(-45, 10, 2)
    flat = _FREE.copy()
    pelvis = rng.normal([4, 0, 0], [8, 2, 4])
    if rng.random() < 0.6:  # on one knee
        hip[LEFT] = rng.uniform([80, 0, 0], [100, 18, 20])
        knee[LEFT] = hip[LEFT, 0] + rng.uniform(-12, 15)
        flat[LEFT] = True
    elif rng.random() < 0.4:  # sitting on the heels
        hip[:, 0], knee = rng.uniform(35, 65), rng.uniform(132, 144, 2)
        pelvis[0] += 15
    return Posture(replace(angles, hip=hip, knee=knee, ankle=ankle, flat=flat, pelvis=pelvis))


def _jumping(rng: Rng) -> Posture:
    angles = _rest(rng)
    tuck = rng.uniform(0, 1) ** 2
    hip = rng.uniform([-15 + 100 * tuck, 0, -5], [35 + 80 * tuck, 40, 25], (2, 3))
    knee = np.clip(hip[:, 0], 0, None) * 0.9 + rng.uniform(0, 60, 2)
    ankle = rng.uniform(-45, -5, 2)
    pelvis = rng.normal([5, 0, 0], [12, 5, 10])
    return Posture(
        replace(angles, hip=hip, knee=knee, ankle=ankle, pelvis=pelvis, flat=_FREE), lift=rng.uniform(0.08, 0.5)
    )


def _bending(rng: Rng) -> Posture:
    angles = _rest(rng)
    lean = rng.uniform(20, 70)
    hip = angles.hip.copy()
    knee = rng.uniform(0, 50, 2) if rng.random() < 0.5 else rng.uniform(0, 12, 2)
    hip[:, 0] = lean + 0.45 * knee
    spine = rng.normal([35, 0, 0], [18, 8, 14])
    arms = {}
    if rng.random() < 0.65:  # reaching down: arms hang against the leaning trunk
        reach = np.clip(lean + spine[0], 40, 120)
        arms = {
            "shoulder": rng.uniform([reach - 25, 0, -20], [reach + 25, 25, 30], (2, 3)),
            "elbow": rng.uniform(2, 40, 2),
        }
    pelvis = np.array([lean, rng.normal(0, 3), rng.normal(0, 6)])
    return Posture(replace(angles, hip=hip, knee=knee, pelvis=pelvis, spine=spine, **arms), balanced=True, level=True)


def _kicking(rng: Rng) -> Posture:
    angles = _rest(rng)
    hip, knee = angles.hip.copy(), angles.knee.copy()
    if rng.random() < 0.6:
        hip[LEFT] = rng.uniform([25, -5, -5], [110, 35, 30])
        knee[LEFT] = rng.uniform(0, 80)
    else:  # drawing back, or standing on one leg
        hip[LEFT] = rng.uniform([-28, 0, 0], [10, 40, 25])
        knee[LEFT] = rng.uniform(20, 110)
    knee[RIGHT] = rng.uniform(0, 30)
    pelvis = np.array([rng.uniform(-22, 18) - 0.1 * hip[LEFT, 0], rng.normal(0, 6), rng.normal(0, 12)])
    ankle = rng.uniform(-40, 10, 2)
    flat = np.array([True, False])
    return Posture(replace(angles, hip=hip, knee=knee, pelvis=pelvis, ankle=ankle, flat=flat), balanced=True)


def _lunging(rng: Rng) -> Posture:
    angles = _rest(rng)
    hip, knee = angles.hip.copy(), angles.knee.copy()
    hip[LEFT] = rng.uniform([40, 0, 0], [78, 25, 20])
    knee[LEFT] = hip[LEFT, 0] * rng.uniform(0.85, 1.15)
    hip[RIGHT] = rng.uniform([-28, 0, 5], [-2, 20, 25])
    knee[RIGHT] = rng.uniform(2, 60)
    pelvis = np.array([rng.uniform(-5, 30), rng.normal(0, 4), rng.normal(0, 8)])
    hip[:, 0] += pelvis[0]
    return Posture(
        replace(angles, hip=hip, knee=knee, pelvis=pelvis, flat=np.array([False, True]), ankle=rng.uniform(0, 25, 2)),
        level=True,
    )


def _dancing(rng: Rng) -> Posture:
    angles = _rest(rng)
    hip = rng.uniform([-15, -8, -10], [60, 45, 45], (2, 3))
    knee = np.clip(hip[:, 0], 0, None) * rng.uniform(0.6, 1.6, 2) + rng.uniform(0, 25, 2)
    pelvis = rng.normal([4, 0, 0], [14, 8, 15])
    spine = rng.normal([2, 0, 0], [18, 13, 18])
    ankle = rng.uniform(-40, 15, 2)
    changes = {"hip": hip, "knee": knee, "pelvis": pelvis, "spine": spine, "ankle": ankle}
    return Posture(replace(angles, flat=rng.random(2) < 0.5, **changes), balanced=True)


def _crawling(rng: Rng) -> Posture:
    angles = _rest(rng)
    lean = rng.uniform(72, 98)
    hip = rng.uniform([lean - 20, 0, 0], [lean + 15, 15, 10], (2, 3))
    spine = rng.normal(0, [8, 5, 6])
    chest = lean + spine[0]
    return Posture(
        replace(
            angles,
            pelvis=np.array([lean, 0.0, 0.0]),
            spine=spine,
            neck=rng.normal([-25, 0, 0], [12, 8, 20]),
            hip=hip,
            knee=rng.uniform(82, 100, 2),
            ankle=rng.uniform(-45, -10, 2),
            shoulder=rng.uniform([chest - 18, 0, -15], [chest + 22, 16, 15], (2, 3)),
            elbow=rng.uniform(2, 30, 2),
            wrist=rng.uniform(-50, -30, 2),
            flat=_FREE,
        )
    )


def _lying(rng: Rng) -> Posture:
    angles = _rest(rng)
    lean = (("back", (-88.0, 0.0)), ("front", (88.0, 0.0)), ("side", (0.0, 85.0)))
    on, (front, left) = lean[rng.integers(3)]
    pelvis = np.array([front, left, 0.0]) + rng.normal(0, 3, 3)
    # Limbs keep to the ground: arms spread in its plane; on the back, a knee is up over a foot on the ground.
    hip = rng.uniform([-6, 0, -5], [4, 30, 35], (2, 3))
    knee = rng.uniform(0, 15, 2)
    shoulder = rng.uniform([-15, 8, -20], [12, 130, 30], (2, 3))
    if on == "front":
        shoulder[:, 0] = rng.uniform(-20, -2, 2)  # the ground is in front: a flexed arm would lift the chest
        angles = replace(angles, elbow=rng.uniform(2, 20, 2))
    elif on == "back":
        shoulder[:, 0] = rng.uniform(0, 15, 2)
        up = rng.uniform(10, 50, 2) * (rng.random(2) < 0.5)
        hip[:, 0] += up
        knee += 1.9 * up
    elif on == "side":
        hip[:, 0] += rng.uniform(0, 70)
        knee += rng.uniform(0, 80, 2)
        shoulder = rng.uniform([10, -10, -20], [110, 15, 30], (2, 3))
    ankle = rng.uniform(-45, 0, 2)
    spine = rng.normal(0, [6, 6, 8])
    return Posture(
        replace(angles, pelvis=pelvis, spine=spine, hip=hip, knee=knee, ankle=ankle, shoulder=shoulder, flat=_FREE)
    )


#: Family and how often it is drawn.
FAMILIES: dict[str, tuple[Callable[[Rng], Posture], float]] = {
    "standing": (_standing, 0.20),
    "walking": (_walking, 0.17),
    "running": (_running, 0.11),
    "sitting": (_sitting, 0.11),
    "sitting on the ground": (_sitting_on_the_ground, 0.03),
    "crouching": (_crouching, 0.06),
    "kneeling": (_kneeling, 0.04),
    "jumping": (_jumping, 0.06),
    "bending": (_bending, 0.07),
    "kicking": (_kicking, 0.05),
    "lunging": (_lunging, 0.04),
    "dancing": (_dancing, 0.03),
    "crawling": (_crawling, 0.015),
    "lying": (_lying, 0.015),
}
