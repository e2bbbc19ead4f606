"""Everyone in one image: overlay, 3D scene from the camera and from the side, legend."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from torch import Tensor

from ..detected_people import DetectedPeople
from ..structures import SIDE_COLOURS, Skeleton
from .canvas import blend, disc, line, text_size, write
from .overlay import LARGE_SPREAD_M, draw_joint, draw_people_2d
from .scene import FROM_CAMERA, FROM_SIDE, Scene, draw_view, scene_of

__all__ = ["draw_people", "draw_scene_3d"]

_PAPER, _WORDS, _ANYONE = (250, 250, 250), (60, 64, 68), (96, 100, 104)
_HEIGHTS = (480, 1080)  # px of the panels: least, most
_VIEW_WIDTH = 0.85  # of a view beside its height


def draw_people(
    image: np.ndarray, people: DetectedPeople, bounds: np.ndarray | None = None, margin: float = 0.1
) -> np.ndarray:
    """(H', W', 3) uint8 RGB: 2D overlay, everyone in one 3D scene from the camera and from the side, legend.

    The size follows from that of the image alone, so frames make a video.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: in px of the image. Their `translations` place them; without, the default camera does (Fig. 7).
        bounds, margin: see `draw_view` and `draw_people_2d`.
    """
    with_margin = image.shape[0] + 2 * margin * max(image.shape[:2])
    height = int(np.clip(round(with_margin), *_HEIGHTS))
    overlay = draw_people_2d(image, people, height / with_margin, margin)
    panels = [overlay, *_views(scene_of(people), overlay.shape[0], bounds)]
    panels = np.concatenate(panels, axis=1)
    return np.concatenate([panels, _legend(panels.shape[1], height)], axis=0)


def draw_scene_3d(poses_3d: Tensor | np.ndarray, skeleton: Skeleton, height: int) -> np.ndarray:
    """(height, W, 3) uint8 RGB: (N, J, 3) m in camera space, all taken as measured, from the camera and the side."""
    joints = np.asarray(poses_3d, dtype=np.float64).reshape(-1, len(skeleton), 3)
    nothing = np.zeros(joints.shape[:2])
    scene = Scene(skeleton, joints, nothing.astype(bool), nothing, list(range(1, len(joints) + 1)))
    return np.concatenate(_views(scene, height, None), axis=1)


def _views(scene: Scene, height: int, bounds: np.ndarray | None) -> list[np.ndarray]:
    size = (height, round(_VIEW_WIDTH * height))
    return [draw_view(scene, view, size, bounds) for view in (FROM_CAMERA, FROM_SIDE)]


@lru_cache(maxsize=8)
def _legend(width: int, height: int) -> np.ndarray:
    """(h, width, 3): what colours, hollow joints and faint circles mean; the same for every frame of a height."""
    size = max(12, round(height / 36))
    strip = np.full((2 * size + size // 2, width, 3), _PAPER, np.uint8)
    thickness = max(2, size // 5)
    middle, x = strip.shape[0] / 2, float(size)
    entries = (
        ("right", "person's right"),
        ("left", "left"),
        ("measured", "joint in the image"),
        ("inferred", f"inferred: outside the image, or spread over {100 * LARGE_SPREAD_M:.0f} cm"),
        ("spread", "spread of the proposals"),
    )
    for kind, words in entries:
        at = np.array([x + size, middle])
        _sample(strip, kind, at, 0.8 * size, thickness)
        write(strip, words, (x + 2.3 * size, middle - 0.65 * size), size, _WORDS)
        x += 2.3 * size + text_size(words, size)[0] + 1.6 * size
    strip.flags.writeable = False
    return strip


def _sample(strip: np.ndarray, kind: str, at: np.ndarray, reach: float, thickness: int) -> None:
    """One symbol of the legend around `at`."""
    ends = at - [reach, 0], at + [reach, 0]
    if kind in SIDE_COLOURS:
        line(strip, *ends, SIDE_COLOURS[kind], thickness)
    elif kind == "spread":
        layer = strip.copy()
        disc(layer, at, reach, _ANYONE)
        blend(strip, layer, 0.3)
    else:
        if kind == "inferred":
            line(strip, *ends, SIDE_COLOURS["left"], thickness, dashed=True)
        draw_joint(strip, at, _ANYONE, thickness, hollow=kind == "inferred")
