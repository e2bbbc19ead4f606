"""A kinematic body: bone lengths by stature, joint angles within anatomical limits, forward kinematics.

Body axes: x to the person's left, y up, z to the front (right-handed); metres; the origin is the middle of
the hips until `stand_on_ground` puts the lowest point on y = 0. Sides are indexed 0 = right, 1 = left, as in
BODY13. Angles are in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import atan2, cos, degrees, radians, sin, sqrt

import numpy as np

from ...structures import BODY13

__all__ = [
    "BodyShape",
    "JointAngles",
    "PosedBody",
    "forward_kinematics",
    "mirror_angles",
    "sample_shape",
    "self_penetration",
    "sole_heights",
    "stand_on_ground",
]

SIDES = ("right", "left")
_SIGN = (-1.0, 1.0)  # x grows towards the person's left

#: Lowest and highest angle of each degree of freedom: (flexion, abduction, rotation), rounded from the ranges of
#: motion in anatomy tables. Spine angles are of the whole spine.
LIMITS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "spine": (np.array([-25.0, -35.0, -45.0]), np.array([75.0, 35.0, 45.0])),
    "neck": (np.array([-40.0, -30.0, -65.0]), np.array([45.0, 30.0, 65.0])),
    "hip": (np.array([-30.0, -20.0, -30.0]), np.array([125.0, 55.0, 50.0])),
    "knee": (np.array(0.0), np.array(145.0)),
    "ankle": (np.array(-45.0), np.array(25.0)),
    "shoulder": (np.array([-50.0, -25.0, -95.0]), np.array([175.0, 170.0, 85.0])),
    "elbow": (np.array(2.0), np.array(145.0)),
    "wrist": (np.array(-50.0), np.array(50.0)),
}


@dataclass(frozen=True)
class BodyShape:
    """Sizes of one person in metres; `girth` multiplies all thicknesses (1 = average)."""

    stature: float
    girth: float
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shin: float
    foot: float
    shoulder_half: float  # from the middle to a shoulder joint
    hip_half: float
    trunk: float  # middle of the hips to middle of the shoulders
    head: float  # half the height of the head

    def thickness(self, share: float) -> float:
        """Radius in metres of a part that is `share` of the stature in an average person."""
        return share * self.stature * self.girth


@dataclass(frozen=True)
class JointAngles:
    """Degrees. Limb arrays have a row per side, right first.

    Attributes:
        pelvis: (3,) lean to the front, lean to the left, turn to the left, against the vertical.
        spine, neck: (3,) likewise, against the part below.
        hip: (2, 3) flexion (knee to the front), abduction (to the side), rotation (toes outwards).
        knee: (2,) flexion. ankle: (2,) toes up; ignored where `flat` is set.
        shoulder: (2, 3) flexion, abduction, rotation (hand inwards when the elbow is bent).
        elbow, wrist: (2,) flexion.
        flat: (2,) bool, the sole is put parallel to the ground as far as the ankle allows.
    """

    pelvis: np.ndarray
    spine: np.ndarray
    neck: np.ndarray
    hip: np.ndarray
    knee: np.ndarray
    ankle: np.ndarray
    shoulder: np.ndarray
    elbow: np.ndarray
    wrist: np.ndarray
    flat: np.ndarray

    def limited(self) -> JointAngles:
        """Clipped to `LIMITS`."""
        return replace(self, **{name: np.clip(getattr(self, name), *limit) for name, limit in LIMITS.items()})


@dataclass(frozen=True)
class PosedBody:
    """Named points (3,) and part frames (3, 3) (columns: the part's left, up, front) of one person."""

    shape: BodyShape
    points: dict[str, np.ndarray]
    frames: dict[str, np.ndarray]

    def moved(self, rotation: np.ndarray, translation: np.ndarray) -> PosedBody:
        """Every point p at rotation @ p + translation."""
        points = {name: rotation @ point + translation for name, point in self.points.items()}
        frames = {name: rotation @ frame for name, frame in self.frames.items()}
        return PosedBody(self.shape, points, frames)

    def joints(self) -> np.ndarray:
        """(13, 3) in the order of BODY13."""
        return np.stack([self.points[name] for name in BODY13.joints])

    def all_points(self) -> np.ndarray:
        return np.stack(list(self.points.values()))


#: Lengths as shares of the stature, about those of Drillis and Contini.
_SHARES = {
    "upper_arm": 0.186,
    "forearm": 0.146,
    "hand": 0.095,
    "thigh": 0.245,
    "shin": 0.246,
    "foot": 0.152,
    "shoulder_half": 0.104,
    "hip_half": 0.052,
    "trunk": 0.288,
}


def sample_shape(rng: np.random.Generator) -> BodyShape:
    """A person: 1.45 to 2 m tall, or a child (8 %); proportions vary by a few per cent, girth from 0.85 to 1.3."""
    child = rng.random() < 0.08
    stature = rng.uniform(1.1, 1.4) if child else float(np.clip(rng.normal(1.71, 0.1), 1.45, 2.0))
    vary = np.clip(rng.normal(1.0, 0.04, len(_SHARES)), 0.88, 1.12).tolist()
    lengths = {name: stature * share * v for (name, share), v in zip(_SHARES.items(), vary, strict=True)}
    girth = float(np.clip(rng.normal(1.04, 0.1), 0.85, 1.3))
    head = stature * (0.078 if child else 0.068) * rng.uniform(0.95, 1.05)
    return BodyShape(stature=stature, girth=girth, head=head, **lengths)


def _rotation(x: float, y: float, z: float) -> np.ndarray:
    """(3, 3) rotation by |v| degrees around v = (x, y, z) (Rodrigues)."""
    angle = sqrt(x * x + y * y + z * z)
    if angle < 1e-9:
        return np.eye(3)
    x, y, z = x / angle, y / angle, z / angle
    c, s = cos(radians(angle)), sin(radians(angle))
    d = 1.0 - c
    return np.array(
        [
            [c + x * x * d, x * y * d - z * s, x * z * d + y * s],
            [y * x * d + z * s, c + y * y * d, y * z * d - x * s],
            [z * x * d - y * s, z * y * d + x * s, c + z * z * d],
        ]
    )


def _bend(angles: np.ndarray) -> np.ndarray:
    """Rotation of a trunk part: lean to the front, lean to the left, turn to the left."""
    return _rotation(angles[0], angles[2], -angles[1])


def forward_kinematics(shape: BodyShape, angles: JointAngles) -> PosedBody:
    """Points and frames of a body; the middle of the hips is the origin. Angles are limited first."""
    angles = angles.limited()
    points: dict[str, np.ndarray] = {}
    frames: dict[str, np.ndarray] = {}
    _place_trunk(shape, angles, points, frames)
    for side in range(2):
        _place_arm(shape, angles, side, points, frames)
        _place_leg(shape, angles, side, points, frames)
    return PosedBody(shape, points, frames)


def _place_trunk(shape: BodyShape, angles: JointAngles, points: dict, frames: dict) -> None:
    pelvis = _bend(angles.pelvis)
    waist = pelvis @ _bend(angles.spine / 2)
    chest = waist @ _bend(angles.spine / 2)
    neck = chest @ _bend(angles.neck / 2)
    head = neck @ _bend(angles.neck / 2)
    frames.update(pelvis=pelvis, waist=waist, chest=chest, neck=neck, head=head)
    points["pelvis"] = np.zeros(3)
    points["waist"] = pelvis[:, 1] * (0.22 * shape.trunk)
    points["ribs"] = points["waist"] + waist[:, 1] * (0.36 * shape.trunk)
    points["collar"] = points["ribs"] + chest[:, 1] * (0.42 * shape.trunk)
    points["neck"] = points["collar"] + chest[:, 1] * (0.18 * shape.head)
    # The chin is half a head below the middle of the head, the neck shows about half a head more.
    points["skull"] = points["neck"] + neck[:, 1] * (0.72 * shape.head)
    points["head"] = points["skull"] + head @ np.array([0.0, 0.72, 0.12]) * shape.head


def _place_arm(shape: BodyShape, angles: JointAngles, side: int, points: dict, frames: dict) -> None:
    name, sign = SIDES[side], _SIGN[side]
    flexion, abduction, inwards = angles.shoulder[side]
    # A raised arm lifts the shoulder and draws it in: at 180 degrees by 4 and 2 cm in an adult.
    raised = min(sqrt(flexion**2 + abduction**2), 180.0) / 180.0
    offset = [sign * (shape.shoulder_half - 0.012 * raised * shape.stature), 0.024 * raised * shape.stature, 0.0]
    shoulder = points["collar"] + frames["chest"] @ np.array(offset)
    upper = frames["chest"] @ _rotation(-flexion, 0.0, sign * abduction) @ _rotation(0.0, -sign * inwards, 0.0)
    lower = upper @ _rotation(-angles.elbow[side], 0.0, 0.0)
    hand = lower @ _rotation(-angles.wrist[side], 0.0, 0.0)
    elbow = shoulder - upper[:, 1] * shape.upper_arm
    wrist = elbow - lower[:, 1] * shape.forearm
    points.update({f"{name}_shoulder": shoulder, f"{name}_elbow": elbow, f"{name}_wrist": wrist})
    points[f"{name}_fingers"] = wrist - hand[:, 1] * shape.hand
    frames.update({f"{name}_upper_arm": upper, f"{name}_forearm": lower, f"{name}_hand": hand})


def _place_leg(shape: BodyShape, angles: JointAngles, side: int, points: dict, frames: dict) -> None:
    name, sign = SIDES[side], _SIGN[side]
    flexion, abduction, outwards = angles.hip[side]
    hip = frames["pelvis"][:, 0] * (sign * shape.hip_half)
    thigh = frames["pelvis"] @ _rotation(-flexion, 0.0, sign * abduction) @ _rotation(0.0, sign * outwards, 0.0)
    shin = thigh @ _rotation(angles.knee[side], 0.0, 0.0)
    toes_up = angles.ankle[side]
    if angles.flat[side]:  # the angle at which the foot's front direction has no vertical part
        toes_up = float(np.clip(degrees(atan2(-shin[1, 2], shin[1, 1])), *LIMITS["ankle"]))
    foot = shin @ _rotation(-toes_up, 0.0, 0.0)
    knee = hip - thigh[:, 1] * shape.thigh
    ankle = knee - shin[:, 1] * shape.shin
    points.update({f"{name}_hip": hip, f"{name}_knee": knee, f"{name}_ankle": ankle})
    points[f"{name}_heel"] = ankle + foot @ np.array([0.0, -0.2, -0.2]) * shape.foot
    points[f"{name}_toes"] = ankle + foot @ np.array([0.0, -0.24, 0.62]) * shape.foot
    frames.update({f"{name}_thigh": thigh, f"{name}_shin": shin, f"{name}_foot": foot})


def sole_heights(shape: BodyShape, angles: JointAngles) -> np.ndarray:
    """(2,) metres above the hips of the lower of heel and toes, right and left; the legs alone are computed."""
    angles = angles.limited()
    points: dict[str, np.ndarray] = {}
    frames = {"pelvis": _bend(angles.pelvis)}
    for side in range(2):
        _place_leg(shape, angles, side, points, frames)
    return np.array([min(points[f"{side}_heel"][1], points[f"{side}_toes"][1]) for side in SIDES])


def mirror_angles(angles: JointAngles) -> JointAngles:
    """The pose seen in a mirror: sides exchanged, leans and turns to the side reversed."""
    paired = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist", "flat")
    swap = {name: getattr(angles, name)[::-1] for name in paired}
    turn = {name: getattr(angles, name) * np.array([1.0, -1.0, -1.0]) for name in ("pelvis", "spine", "neck")}
    return JointAngles(**swap, **turn)


_LIMBS = tuple(
    (group, f"{side}_{start}", f"{side}_{end}", share)
    for side in SIDES
    for group, start, end, share in (
        ("trunk", "hip", "shoulder", 0.056),
        (f"{side} arm", "elbow", "wrist", 0.02),
        (f"{side} arm", "wrist", "fingers", 0.016),
        (f"{side} leg", "knee", "ankle", 0.027),
        (f"{side} leg", "ankle", "toes", 0.02),
    )
) + (("head", "skull", "head", 0.056),)
_STEPS = np.linspace(0.0, 1.0, 4)
_GROUPS = np.repeat([limb[0] for limb in _LIMBS], len(_STEPS))
_MAY_MEET = (_GROUPS[:, None] == _GROUPS) | np.isin(_GROUPS, ("trunk", "head"))[:, None] & np.isin(
    _GROUPS, ("trunk", "head")
)


def limb_spheres(body: PosedBody) -> tuple[np.ndarray, np.ndarray]:
    """(S, 3) centres and (S,) radii of spheres along trunk, forearms, shins, hands, feet and head."""
    starts = np.stack([body.points[start] for _, start, _, _ in _LIMBS])
    ends = np.stack([body.points[end] for _, _, end, _ in _LIMBS])
    centres = starts[:, None] + _STEPS[:, None] * (ends - starts)[:, None]
    radii = np.repeat([body.shape.thickness(share) for *_, share in _LIMBS], len(_STEPS))
    return centres.reshape(-1, 3), radii


def self_penetration(body: PosedBody) -> float:
    """Metres by which two parts that cannot share space are inside each other, at the worst place (0: nowhere)."""
    centres, radii = limb_spheres(body)
    distances = np.sqrt(((centres[:, None] - centres) ** 2).sum(-1))
    depth = np.where(_MAY_MEET, 0.0, radii[:, None] + radii - distances)
    return float(depth.max(initial=0.0))


_TOUCHING = ("knee", "heel", "toes", "fingers", "elbow")
_GROUND_POINTS = ("pelvis", "ribs", "head", *(f"{side}_{point}" for side in SIDES for point in _TOUCHING))
_GROUND_SHARES = np.array([0.065, 0.06, 0.056, *(2 * (0.03, 0.017, 0.015, 0.015, 0.022))])


def stand_on_ground(body: PosedBody, lift: float = 0.0) -> PosedBody:
    """The body moved up or down so that its lowest part is `lift` metres above y = 0."""
    heights = np.array([body.points[name][1] for name in _GROUND_POINTS])
    lowest = (heights - _GROUND_SHARES * body.shape.stature * body.shape.girth).min()
    return body.moved(np.eye(3), np.array([0.0, lift - lowest, 0.0]))
