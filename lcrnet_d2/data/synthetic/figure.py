"""A dressed figure around the 13 joints of a pose: limbs in random clothes, with a face and a front."""

from __future__ import annotations

import colorsys

import numpy as np

from ...structures import BODY13
from .renderer import Limb

__all__ = ["JOINT_RADII", "dressed_figure", "random_colour"]

_RADIUS = {"ankle": 0.04, "knee": 0.055, "hip": 0.11, "wrist": 0.03, "elbow": 0.04, "shoulder": 0.07, "head": 0.115}

#: (J,) metres from each joint of BODY13 to the skin of an average adult.
JOINT_RADII = np.array([_RADIUS[name.split("_")[-1]] for name in BODY13.joints])

_DARK_SKIN, _LIGHT_SKIN = np.array([0.12, 0.17, 0.27]), np.array([0.66, 0.74, 0.93])


def random_colour(rng: np.random.Generator) -> np.ndarray:
    """(3,) float32 BGR of any hue; a third are greys, blacks and whites, as clothes are."""
    saturation = rng.uniform(0, 0.15) if rng.random() < 0.35 else rng.uniform(0.2, 0.95)
    return np.array(colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.12, 0.98))[::-1], np.float32)


def dressed_figure(rng: np.random.Generator, joints: np.ndarray, size: float) -> list[Limb]:
    """The limbs of a person in random clothes, the same on both sides: colour does not tell left from right.

    Args:
        joints: (13, 3) m in camera axes, ordered as BODY13.
        size: of the person, 1 = an average adult.
    """
    p = dict(zip(BODY13.joints, joints, strict=True))
    shoulders, hips = (0.5 * (p[f"left_{name}"] + p[f"right_{name}"]) for name in ("shoulder", "hip"))
    up = _unit(shoulders - hips)
    front = _unit(np.cross(p["left_shoulder"] + p["left_hip"] - p["right_shoulder"] - p["right_hip"], up))
    skin = np.clip((_DARK_SKIN + rng.random() * (_LIGHT_SKIN - _DARK_SKIN)) * rng.normal(1, 0.05, 3), 0.03, 1)
    shirt, trousers, shoes, hair = (random_colour(rng) for _ in range(4))
    stripes = random_colour(rng) if rng.random() < 0.3 else None
    limbs = [*_head(p["head"], shoulders, front, size, skin, 0.6 * hair)]
    limbs += _trunk(rng, p, front, size, shirt, trousers, stripes)
    sleeve = 2.0 if rng.random() < 0.45 else rng.uniform(0, 1.3)
    leg = 2.0 if rng.random() < 0.65 else rng.uniform(0.35, 1.4)
    for side in ("right", "left"):
        shoulder, elbow, wrist = (p[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
        hip, knee, ankle = (p[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        limbs += _covered(shoulder, elbow, (0.05 * size, 0.04 * size), sleeve, shirt, skin)
        limbs += _covered(elbow, wrist, (0.04 * size, 0.028 * size), sleeve - 1, shirt, skin)
        limbs += _covered(hip, knee, (0.085 * size, 0.055 * size), leg, trousers, skin)
        limbs += _covered(knee, ankle, (0.053 * size, 0.036 * size), leg - 1, trousers, skin)
        hand = wrist + 0.12 * size * _unit(wrist - elbow)
        limbs.append(Limb(wrist, hand, (0.03 * size, 0.032 * size), skin))
        shin = _unit(knee - ankle)
        toes = ankle + size * (0.17 * _unit(front - (front @ shin) * shin) - 0.04 * shin)
        limbs.append(Limb(ankle - 0.02 * size * shin, toes, (0.042 * size, 0.032 * size), shoes))
    return limbs


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def _covered(
    start: np.ndarray, end: np.ndarray, radii: tuple[float, float], cover: float, cloth: np.ndarray, skin: np.ndarray
) -> list[Limb]:
    """A limb of which the share `cover` from its start on is clothed."""
    if not 0 < cover < 1:
        return [Limb(start, end, radii, skin if cover <= 0 else cloth)]
    middle, radius = start + cover * (end - start), radii[0] + cover * (radii[1] - radii[0])
    return [
        Limb(start, middle, (1.1 * radii[0], 1.1 * radius), cloth),
        Limb(middle, end, (radius, radii[1]), skin),
    ]


def _head(
    centre: np.ndarray, shoulders: np.ndarray, trunk_front: np.ndarray, size: float, skin: np.ndarray, hair: np.ndarray
) -> list[Limb]:
    """Neck, a ball of hair, in front of it the face with nose and eyes; it looks where the trunk does."""
    up = _unit(centre - shoulders)
    front = _unit(trunk_front - (trunk_front @ up) * up)
    left = np.cross(up, front)

    def at(sideways: float, upwards: float, forwards: float) -> np.ndarray:
        return centre + size * (sideways * left + upwards * up + forwards * front)

    def ball(place: np.ndarray, radius: float, colour: np.ndarray) -> Limb:
        return Limb(place, place, (radius * size, radius * size), colour)

    dark = 0.15 * skin
    return [
        Limb(shoulders, at(0, -0.05, 0), (0.055 * size, 0.05 * size), skin),
        Limb(at(0, 0.03, -0.015), at(0, -0.02, -0.02), (0.108 * size, 0.1 * size), hair),
        Limb(at(0, 0.01, 0.02), at(0, -0.05, 0.025), (0.095 * size, 0.075 * size), skin),
        ball(at(0, -0.02, 0.115), 0.018, skin),
        *(ball(at(x, 0.015, 0.102), 0.016, dark) for x in (-0.04, 0.04)),
        Limb(at(-0.02, -0.06, 0.09), at(0.02, -0.06, 0.09), (0.012 * size, 0.012 * size), dark),
    ]


def _trunk(
    rng: np.random.Generator,
    p: dict[str, np.ndarray],
    front: np.ndarray,
    size: float,
    shirt: np.ndarray,
    trousers: np.ndarray,
    stripes: np.ndarray | None,
) -> list[Limb]:
    """Shirt down to the waist, hips, and mostly a strip down the front, sometimes a backpack behind."""
    rs, ls, rh, lh = (p[name] for name in ("right_shoulder", "left_shoulder", "right_hip", "left_hip"))
    waist = 0.25 * (rs + ls) + 0.25 * (rh + lh)
    chest = 0.35 * (rs + ls) + 0.15 * (rh + lh)
    sides = [Limb(0.8 * s + 0.2 * h, 0.25 * s + 0.75 * h, (0.085 * size, 0.09 * size), shirt, stripes)
             for s, h in ((rs, rh), (ls, lh))]  # fmt: skip
    limbs = [
        *sides,
        Limb(chest, 0.5 * (rh + lh), (0.12 * size, 0.1 * size), shirt, stripes),
        Limb(rs, ls, (0.06 * size, 0.06 * size), shirt),
        Limb(rh, lh, (0.11 * size, 0.11 * size), trousers),
    ]
    if rng.random() < 0.8:  # in small figures it tells front from back as a face does
        ahead, radius = 0.085 * size * front, rng.uniform(0.03, 0.06) * size
        limbs.append(Limb(chest + ahead, waist + 0.9 * ahead, (radius, radius), random_colour(rng)))
    if rng.random() < 0.2:
        behind = -0.14 * size * front
        limbs.append(Limb(chest + behind, waist + behind, (0.11 * size, 0.12 * size), random_colour(rng)))
    return limbs
