"""What people wear, as uniforms of the person shader: lengths, looseness, colours and patterns at random.

Heights are of the template (its hips at 0.05, knees at -0.37, ankles at -0.75, shoulders at 0.53 m).
"""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np

__all__ = ["COVER_HAIR", "COVER_SHOES", "COVER_SUIT", "cloth_colour", "sample_outfit", "without_painted"]

#: What the shader is told that a sewn garment is (its uniform `garment`; 0 is the body).
COVER_SUIT, COVER_SHOES, COVER_HAIR = 1, 2, 3

_NOWHERE = 9.0  # a height above every body

_SKIN, _SHIRT, _TROUSERS, _SHOE, _SOCK, _HAIR, _EYE, _LIPS, _BROW, _GLOVE = range(10)

#: sRGB of skin from light to dark; colours between neighbours are used.
_SKIN_TONES = np.array(
    [
        [0.93, 0.78, 0.69],
        [0.86, 0.68, 0.57],
        [0.76, 0.57, 0.44],
        [0.60, 0.42, 0.31],
        [0.42, 0.28, 0.20],
        [0.28, 0.18, 0.14],
    ]
)
_HAIR_COLOURS = np.array(
    [
        [0.06, 0.05, 0.05],
        [0.14, 0.09, 0.06],
        [0.27, 0.17, 0.10],
        [0.45, 0.30, 0.16],
        [0.68, 0.53, 0.32],
        [0.55, 0.55, 0.55],
    ]
)
_LEG_ENDS = {"long": -0.74, "cropped": -0.55, "knee": -0.40, "shorts": -0.22, "short shorts": -0.08, "briefs": -0.01}


def sample_outfit(rng: np.random.Generator, female: bool) -> dict[str, Any]:
    """Uniforms of one person's clothes, hair and skin."""
    legs = rng.choice(list(_LEG_ENDS), p=[0.46, 0.08, 0.14, 0.18, 0.08, 0.06])
    swims = legs == "briefs" and rng.random() < 0.5
    sleeve = float(rng.choice([-0.12, 0.04, 0.26, 0.42, 0.93], p=[0.12, 0.1, 0.38, 0.06, 0.34])) + rng.uniform(
        -0.03, 0.03
    )
    loose = float(rng.choice([0.001, 0.008, 0.018, 0.03], p=[0.2, 0.35, 0.3, 0.15]))
    hem = rng.uniform(-0.02, 0.14) if not (female and rng.random() < 0.15) else rng.uniform(0.2, 0.3)
    if swims and not female:
        sleeve, hem = -1.0, 9.0  # bare chest
    one_piece = rng.random() < 0.08
    trousers_loose = float(rng.choice([0.001, 0.008, 0.018, 0.028], p=[0.25, 0.35, 0.25, 0.15]))
    barefoot = swims or rng.random() < 0.06
    shoe_top = -9.0 if barefoot else rng.choice([-0.765, -0.72, -0.60], p=[0.7, 0.22, 0.08])
    sock_top = -9.0 if barefoot else shoe_top + max(rng.normal(0.02, 0.07), 0)
    uniforms: dict[str, Any] = {
        "shirt": (sleeve, hem, rng.uniform(0.545, 0.6), loose),
        "trousers": (
            _LEG_ENDS[legs] + rng.uniform(-0.03, 0.03),
            rng.uniform(0.09, 0.2),
            trousers_loose,
            rng.choice([0.0, 0.02, 0.06, 0.1]),
        ),
        "footwear": (shoe_top, sock_top, rng.uniform(0.006, 0.014), 0.98 if rng.random() < 0.06 else 9.0),
        "hairdo": _hairdo(rng, female),
        "patterns": (_pattern(rng), _trouser_pattern(rng)),
        "patternScale": (np.exp(rng.uniform(np.log(5), np.log(45))), np.exp(rng.uniform(np.log(5), np.log(45)))),
        "seed": tuple(rng.uniform(0, 50, 3)),
    }
    first, second = _colours(rng)
    if one_piece:
        first[_TROUSERS], second[_TROUSERS] = first[_SHIRT], second[_SHIRT]
        uniforms["patterns"] = (uniforms["patterns"][0],) * 2
    uniforms["colours"], uniforms["second"] = first, second
    return uniforms


def without_painted(uniforms: dict[str, Any], cover: int) -> dict[str, Any]:
    """The uniforms without the painted clothes that a sewn garment takes the place of."""
    shirt, trousers, footwear, hairdo = (uniforms[key] for key in ("shirt", "trousers", "footwear", "hairdo"))
    if cover == COVER_SUIT:
        waist = float(np.clip(trousers[1], 0.1, 0.16))
        return uniforms | {
            "shirt": (-1.0, _NOWHERE, shirt[2], 0.001),
            "trousers": (_NOWHERE, waist, 0.001, 0.0),
        }
    if cover == COVER_SHOES:
        return uniforms | {"footwear": (-_NOWHERE, max(footwear[1], -0.8), footwear[2], footwear[3])}
    return uniforms | {"hairdo": (hairdo[0], hairdo[1], 0.002, 1.0)}  # painted scalp below


def cloth_colour(rng: np.random.Generator) -> np.ndarray:
    """(3,) sRGB: greys, black and white, denim, muted and bright colours."""
    kind = rng.choice(5, p=[0.2, 0.16, 0.14, 0.3, 0.2])
    if kind == 0:
        return np.full(3, rng.uniform(0.05, 0.3)) * rng.uniform(0.92, 1.08, 3)
    if kind == 1:
        return np.clip(np.full(3, rng.uniform(0.7, 0.95)) * rng.uniform(0.95, 1.05, 3), 0, 1)
    if kind == 2:
        return np.array([0.2, 0.28, 0.42]) * rng.uniform(0.5, 1.6)
    saturation, value = ((0.15, 0.55), (0.2, 0.75)) if kind == 3 else ((0.6, 0.95), (0.4, 0.95))
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value)))


def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(10, 3) colours by cover, and the patterns' other colours."""
    first, second = np.zeros((10, 3)), np.zeros((10, 3))
    first[_SKIN] = _between(rng, _SKIN_TONES) * rng.uniform(0.92, 1.06)
    first[_HAIR] = _between(rng, _HAIR_COLOURS[: 6 if rng.random() < 0.4 else 4])
    first[_BROW] = 0.5 * first[_HAIR] + 0.3 * first[_SKIN]
    first[_EYE] = [0.10, 0.08, 0.07]
    first[_LIPS] = first[_SKIN] * [0.86, 0.62, 0.60]
    for cover in (_SHIRT, _TROUSERS, _SHOE, _SOCK, _GLOVE):
        first[cover], second[cover] = cloth_colour(rng), cloth_colour(rng)
    if rng.random() < 0.5:
        first[_SOCK] = 0.9
    second[_SHOE] = rng.choice([0.92, 0.15, 0.5])  # the sole
    return np.clip(first, 0.01, 1), np.clip(second, 0.01, 1)


def _between(rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    place = rng.random() ** 1.3 * (len(colours) - 1)  # more of the first ones
    index = int(place)
    return colours[index] + (place - index) * (colours[min(index + 1, len(colours) - 1)] - colours[index])


def _hairdo(rng: np.random.Generator, female: bool) -> tuple[float, float, float, float]:
    if not female and rng.random() < 0.1:
        return (0.7, 0.8, 0.0, 0.0)  # bald
    nape = rng.choice([0.61, 0.65, 0.69], p=[0.6, 0.3, 0.1] if female else [0.1, 0.4, 0.5])
    return (nape, rng.uniform(0.775, 0.815), rng.uniform(0.012, 0.035 if female else 0.025), 1.0)


def _pattern(rng: np.random.Generator) -> int:
    """Plain, stripes across or along, checks, camouflage, print on the chest, yoke, side panels, spots."""
    return int(rng.choice(9, p=[0.42, 0.1, 0.05, 0.06, 0.06, 0.14, 0.06, 0.07, 0.04]))


def _trouser_pattern(rng: np.random.Generator) -> int:
    return int(rng.choice([0, 2, 3, 4, 7], p=[0.76, 0.04, 0.04, 0.06, 0.1]))
