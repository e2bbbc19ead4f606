"""A dressed figure: the primitives of one posed body, with random clothes, hair, shoes and a face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .articulation import SIDES, PosedBody
from .paints import fabric, head_paint, plain, random_colour, skin_colour, split_along, with_front
from .renderer import Paint, RoundCone, axes_along

__all__ = ["JOINT_THICKNESS", "Outfit", "dress", "sample_outfit"]

#: Radius of the body around each kind of joint, share of the stature in an average person. A joint counts as seen
#: if the surface in front of it is no farther from it than this plus a small tolerance.
JOINT_THICKNESS: dict[str, float] = {
    "ankle": 0.030,
    "knee": 0.036,
    "hip": 0.080,
    "wrist": 0.020,
    "elbow": 0.028,
    "shoulder": 0.045,
    "head": 0.062,
}


@dataclass(frozen=True)
class Outfit:
    """What a person wears; lengths are shares of the limb that the garment covers.

    Attributes:
        skin, shirt, trousers, shoes, head: paints of these parts; `sleeves` and `legs` those of the limbs' cloth.
        sleeve, leg: 0 to 2, from the shoulder (hip) over the elbow (knee) to the wrist (ankle).
        skirt: paint of a skirt or None; backpack likewise.
        loose: thickness of the clothes, 1 = skin-tight.
        long_hair: paint of hair on the neck, or None.
    """

    skin: Paint
    shirt: Paint
    sleeves: Paint
    trousers: Paint
    legs: Paint
    shoes: Paint
    head: Paint
    sleeve: float
    leg: float
    skirt: Paint | None
    backpack: Paint | None
    loose: float
    long_hair: Paint | None


def sample_outfit(rng: np.random.Generator, body: PosedBody) -> Outfit:
    """Random clothes; both sides of the body get the same, so colour does not tell left from right."""
    skin_tone, shirt_colour, trouser_colour = skin_colour(rng), random_colour(rng), random_colour(rng)
    hair_colour = np.array([0.5, 0.75, 1.0]) * rng.uniform(0.05, 0.7) ** 1.5 + rng.uniform(0, 0.05, 3)
    skin, hair = plain(skin_tone), plain(hair_colour)
    shirt, sleeves = fabric(rng, shirt_colour), plain(shirt_colour)
    if rng.random() < 0.2:
        sleeves = plain(random_colour(rng))
    if rng.random() < 0.8:  # seen from the front only: in small figures it tells front from back as a face does
        width = body.shape.thickness(rng.choice([0.02, 0.04, 0.06]))
        shirt = with_front(shirt, plain(random_colour(rng)), width)
    trousers = fabric(rng, trouser_colour, 0.25)
    if rng.random() < 0.12:  # one-piece
        trousers, trouser_colour = shirt, shirt_colour
    sleeve = 2.0 if rng.random() < 0.45 else rng.uniform(0.0, 1.3)
    leg = 2.0 if rng.random() < 0.65 else rng.uniform(0.35, 1.4)
    skirt = fabric(rng, trouser_colour, 0.4) if rng.random() < 0.12 else None
    return Outfit(
        skin=skin,
        shirt=shirt,
        sleeves=sleeves,
        trousers=trousers,
        legs=plain(trouser_colour),
        shoes=plain(random_colour(rng)),
        head=head_paint(rng, skin_tone, hair_colour, _head_size(body)),
        sleeve=sleeve,
        leg=rng.uniform(0.2, 0.6) if skirt else leg,
        skirt=skirt,
        backpack=plain(random_colour(rng)) if rng.random() < 0.2 else None,
        loose=rng.uniform(1.0, 1.16),
        long_hair=hair if rng.random() < 0.3 else None,
    )


def _head_size(body: PosedBody) -> np.ndarray:
    """(3,) half-sizes of the head to its left, up and front."""
    return body.shape.head * np.array([0.7, 1.0, 0.84])


def dress(body: PosedBody, outfit: Outfit, owner: int) -> list[RoundCone]:
    """The primitives of a figure whose body is given in camera axes."""
    parts = [*_head(body, outfit, owner), *_trunk(body, outfit, owner)]
    for side in SIDES:
        parts += _arm(body, outfit, owner, side)
        parts += _leg(body, outfit, owner, side)
    return parts


def _cone(
    start: np.ndarray,
    end: np.ndarray,
    front: np.ndarray,
    radii: tuple[float, float],
    owner: int,
    paint: Paint,
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> RoundCone:
    """A round cone whose local z axis is `front` made perpendicular to the line from start to end."""
    return RoundCone(start, end, axes_along(end - start, front), radii, stretch, owner, paint)


def _ball(centre: np.ndarray, frame: np.ndarray, half_size: np.ndarray, owner: int, paint: Paint) -> RoundCone:
    x, y, z = half_size.tolist()
    return RoundCone(centre, centre, frame, (1.0, 1.0), (x, y, z), owner, paint)


def _head(body: PosedBody, outfit: Outfit, owner: int) -> list[RoundCone]:
    frame, centre, size = body.frames["head"], body.points["head"], _head_size(body)
    head = body.shape.head

    def at(x: float, y: float, z: float) -> np.ndarray:
        return centre + frame @ (np.array([x, y, z]) * size)

    neck = body.shape.thickness(0.03)
    parts = [
        _ball(centre, frame, size, owner, outfit.head),
        _ball(at(0, -0.12, 1.0), frame, head * np.array([0.12, 0.17, 0.16]), owner, outfit.skin),  # nose
        _cone(body.points["collar"], body.points["skull"], frame[:, 2], (neck * 1.1, neck), owner, outfit.skin),
    ]
    for x in (-1.0, 1.0):  # ears
        parts.append(_ball(at(x, 0, -0.1), frame, head * np.array([0.08, 0.22, 0.15]), owner, outfit.skin))
    if outfit.long_hair is not None:
        radii = (0.6 * head, 0.4 * head)
        fall = body.points["neck"] - 0.35 * head * body.frames["chest"][:, 2]
        parts.append(_cone(at(0, 0.1, -0.45), fall, frame[:, 2], radii, owner, outfit.long_hair))
    return parts


def _trunk(body: PosedBody, outfit: Outfit, owner: int) -> list[RoundCone]:
    points, frames, loose = body.points, body.frames, outfit.loose

    def thick(share: float) -> float:
        return body.shape.thickness(share) * loose

    parts = [
        # Chest and belly are ellipses, the shoulder girdle and the pelvis lie across.
        _cone(
            points["ribs"] - frames["chest"][:, 1] * 0.02,
            points["ribs"] * 0.35 + points["collar"] * 0.65,
            frames["chest"][:, 2],
            (thick(0.082), thick(0.086)),
            owner,
            outfit.shirt,
            (1.0, 0.7, 0.72),
        ),
        _cone(
            points["pelvis"] + frames["pelvis"][:, 1] * 0.02,
            points["ribs"],
            frames["waist"][:, 2],
            (thick(0.083), thick(0.08)),
            owner,
            outfit.shirt,
            (1.0, 0.7, 0.76),
        ),
        _cone(
            points["right_shoulder"],
            points["left_shoulder"],
            frames["chest"][:, 2],
            (thick(0.034), thick(0.034)),
            owner,
            outfit.sleeves if outfit.sleeve > 0.15 else outfit.shirt,
            (1.0, 1.0, 1.0),
        ),
        _cone(
            points["right_hip"],
            points["left_hip"],
            frames["pelvis"][:, 2],
            (thick(0.064), thick(0.064)),
            owner,
            outfit.trousers,
            (1.0, 0.7, 0.96),
        ),
    ]
    return parts + _over_trunk(body, outfit, owner)


def _over_trunk(body: PosedBody, outfit: Outfit, owner: int) -> list[RoundCone]:
    """Skirt and backpack, where they are worn."""
    points, frames, parts = body.points, body.frames, []

    def thick(share: float) -> float:
        return body.shape.thickness(share) * outfit.loose

    if outfit.skirt is not None:
        knees = (points["right_knee"] + points["left_knee"]) / 2
        hem = points["pelvis"] + 0.75 * (knees - points["pelvis"])
        radii = (thick(0.085), thick(0.105))
        parts.append(_cone(points["pelvis"], hem, frames["pelvis"][:, 2], radii, owner, outfit.skirt, (1.0, 0.4, 0.85)))
    if outfit.backpack is not None:
        back = -frames["chest"][:, 2] * thick(0.1)
        ends = (points["ribs"] + back, points["ribs"] * 0.2 + points["collar"] * 0.8 + back)
        radii = (thick(0.075), thick(0.065))
        parts.append(_cone(*ends, frames["chest"][:, 2], radii, owner, outfit.backpack, (1.0, 0.7, 0.7)))
    return parts


def _clothed(cover: float, length: float, cloth: Paint, skin: Paint, outfit: Outfit) -> tuple[Paint, float]:
    """Paint of a limb segment of which the share `cover` is clothed, and its thickness factor."""
    if cover <= 0:
        return skin, 1.0
    if cover >= 1:
        return cloth, outfit.loose
    return split_along(cloth, skin, cover * length), 1.0 + 0.5 * (outfit.loose - 1.0)


def _arm(body: PosedBody, outfit: Outfit, owner: int, side: str) -> list[RoundCone]:
    shoulder, elbow, wrist, fingers = (body.points[f"{side}_{p}"] for p in ("shoulder", "elbow", "wrist", "fingers"))
    upper, lower, hand = (body.frames[f"{side}_{p}"] for p in ("upper_arm", "forearm", "hand"))
    thick, shape = body.shape.thickness, body.shape
    paint, loose = _clothed(outfit.sleeve, shape.upper_arm, outfit.sleeves, outfit.skin, outfit)
    lower_paint, lower_loose = _clothed(outfit.sleeve - 1, shape.forearm, outfit.sleeves, outfit.skin, outfit)
    palm = wrist + 0.85 * (fingers - wrist)
    radii = (thick(0.031) * loose, thick(0.0225) * loose)
    lower_radii = (thick(0.0225) * lower_loose, thick(0.0155) * lower_loose)
    return [
        _cone(shoulder, elbow, upper[:, 2], radii, owner, paint),
        _cone(elbow, wrist, lower[:, 2], lower_radii, owner, lower_paint),
        _cone(wrist, palm, hand[:, 0], (thick(0.016), thick(0.019)), owner, outfit.skin, (1.2, 1.0, 0.6)),
    ]


def _leg(body: PosedBody, outfit: Outfit, owner: int, side: str) -> list[RoundCone]:
    hip, knee, ankle, heel, toes = (body.points[f"{side}_{p}"] for p in ("hip", "knee", "ankle", "heel", "toes"))
    thigh, shin, foot = (body.frames[f"{side}_{p}"] for p in ("thigh", "shin", "foot"))
    thick, shape = body.shape.thickness, body.shape
    paint, loose = _clothed(outfit.leg, shape.thigh, outfit.legs, outfit.skin, outfit)
    lower_paint, lower_loose = _clothed(outfit.leg - 1, shape.shin, outfit.legs, outfit.skin, outfit)
    calf_size = np.array([thick(0.031), 0.075 * shape.stature, thick(0.036)]) * lower_loose
    calf_paint = outfit.legs if outfit.leg > 1.5 else outfit.skin  # as the middle of the shin
    calf = knee + 0.3 * (ankle - knee) - shin[:, 2] * thick(0.007)
    return [
        _cone(hip, knee, thigh[:, 2], (thick(0.05) * loose, thick(0.033) * loose), owner, paint),
        _cone(knee, ankle, shin[:, 2], (thick(0.032) * lower_loose, thick(0.02) * lower_loose), owner, lower_paint),
        _ball(calf, shin, calf_size, owner, calf_paint),
        _cone(heel, toes, foot[:, 1], (thick(0.02), thick(0.016)), owner, outfit.shoes, (1.15, 1.0, 0.9)),
        _cone(ankle, heel, foot[:, 2], (thick(0.021), thick(0.019)), owner, outfit.shoes),
    ]
