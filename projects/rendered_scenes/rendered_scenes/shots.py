"""What a scene is to show: whole people, or people as cameras cut them, at tables, close by, side by side, and nobody.

Photos of everyday life cut most people off; a model trained on whole ones alone squeezes them into what is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

import numpy as np

from lcrnet_d2.structures import BODY13

__all__ = ["SHOTS", "Framing", "Shot", "frame_close_up", "frame_cut", "frame_whole", "sample_everyday_shot"]


@dataclass(frozen=True)
class Shot:
    """What a scene shows.

    Attributes:
        framing: "whole": all of the subject, mostly; "small": 60 to 130 px of them in 320; "cut": the picture ends at
            their knees, hips or chest; "legs": it begins there; "close": a face, a hand or a torso fills it.
        seated: the subject sits, turned to the camera, three in four at a table.
        behind: a counter stands between the camera and the subject.
        crowded: others stand so close that they hide each other.
        nobody: things alone.
    """

    framing: str = "whole"
    seated: bool = False
    behind: bool = False
    crowded: bool = False
    nobody: bool = False


@dataclass(frozen=True)
class Framing:
    """share: the subject's height over the picture's; above, aim: metres above the ground of the camera and of what it
    looks at; nearest: metres along the ground that the subject keeps from the camera."""

    share: float
    above: float
    aim: float
    nearest: float = 0.9


_FRAMINGS = {"whole": 0.3, "small": 0.15, "cut": 0.36, "legs": 0.05, "close": 0.14}


def sample_everyday_shot(rng: np.random.Generator) -> Shot:
    """One of all kinds, in about the shares in which they occur in COCO, close-ups rarer."""
    if rng.random() < 0.03:
        return Shot(nobody=True)
    framing = str(rng.choice(list(_FRAMINGS), p=list(_FRAMINGS.values())))
    seated, behind, crowded = rng.random(3) < (0.25, 0.08, 0.25)
    return Shot(framing, bool(seated), bool(behind and not seated), bool(crowded))


def _whole_shot(rng: np.random.Generator) -> Shot:
    return Shot()


#: By the name `render_scenes.py --shots` takes.
SHOTS = {"whole": _whole_shot, "everyday": sample_everyday_shot}


def frame_whole(rng: np.random.Generator, height: float) -> Framing:
    """The subject, `height` metres tall, takes 25 to 170 % of the picture's height."""
    low, high = ((0.5, 1.0), (0.25, 0.5), (1.0, 1.7))[rng.choice(3, p=(0.6, 0.26, 0.14))]
    share = exp(rng.uniform(log(low), log(high)))
    above = _camera_height(rng)
    aim = height * rng.uniform(0.45, 0.6)
    if share > 1.0:
        aim = height * rng.uniform(0.35, 0.85)
    return Framing(share, above, aim)


def frame_cut(rng: np.random.Generator, height: float, framing: str) -> Framing:
    """The picture shows the subject from one share of their height to another; see `Shot.framing`."""
    if framing == "small":
        share = exp(rng.uniform(log(0.19), log(0.4)))
        return Framing(share, _camera_height(rng), height * rng.uniform(0.1, 0.9))
    cut = (0.27, 0.5, 0.68)[rng.choice(3, p=(0.3, 0.4, 0.3))] + rng.uniform(-0.08, 0.08)
    top = 1 + exp(rng.uniform(log(0.03), log(0.35)))
    if framing == "legs":
        cut, top = rng.uniform(-0.15, 0.05), rng.uniform(0.4, 0.85)
    return Framing(1 / (top - cut), _camera_height(rng), height * (top + cut) / 2, nearest=0.6)


def frame_close_up(rng: np.random.Generator, height: float, joints: np.ndarray) -> tuple[Framing, int]:
    """A face, a hand or a torso fills the picture.

    Args:
        joints: (J, 3) metres of the subject, y down from the ground.

    Returns:
        the framing and the index of the joint looked at.
    """
    name = rng.choice(["head", "left_wrist", "right_wrist", "left_shoulder", "right_hip"], p=[0.5, 0.1, 0.1, 0.2, 0.1])
    index = BODY13.index(str(name))
    aim = float(-joints[index, 1])
    low, high = (3.5, 8.0) if str(name).endswith("wrist") else (2.5, 6.0)
    share = exp(rng.uniform(log(low), log(high)))
    return Framing(share, max(aim + rng.normal(0, 0.2), 0.1), aim, nearest=0.4), index


def _camera_height(rng: np.random.Generator) -> float:
    """0.3 to 4.5 m above the ground, mostly at hand height."""
    return rng.uniform(*((0.9, 1.9), (0.25, 0.9), (1.9, 4.5))[rng.choice(3, p=(0.66, 0.14, 0.2))])
