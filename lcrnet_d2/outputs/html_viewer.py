"""One HTML file to look at detected people in: orbit the 3D scene, hover a joint, hide people, step through frames.

The page holds its data, images, style and program (`html_viewer_template.html`) and forbids itself the network by a
content security policy.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..detected_people import DetectedPeople
from ..placement import OrthographicCamera
from ..structures import bone_colour, person_colour
from ..structures.whole_files import write_text
from ..visualization import LARGE_SPREAD_M, common_bounds, encoded_jpeg, is_inferred, person_numbers, scene_of

__all__ = ["PosePage", "write_html"]

_LONGEST_SIDE = 960  # px of an embedded image; with quality 80 some 60 kB
_JPEG_QUALITY = 80


def write_html(
    people_per_image: Sequence[DetectedPeople],
    images: Iterable[np.ndarray],
    path: str | Path,
    title: str = "Detected people",
    names: Sequence[str] | None = None,
    *,
    one_scene: bool = False,
) -> None:
    """Writes the page, whole or not at all.

    People who have not been placed are placed before the default camera (Fig. 7). A page grows by some 60 kB a
    frame; a long video is better thinned out.

    Args:
        people_per_image: of each image, in its px; one skeleton for all.
        images: (H, W, 3) uint8 RGB, as many; kept at no more than 960 px.
        title: heading of the page.
        names: what each image is called; its number if None.
        one_scene: the images are frames of one video: the 3D view shows the same block of space for all.

    Raises:
        ValueError: no images, other numbers of images, people or names, or several skeletons.
    """
    if names is None:
        names = [f"image {i + 1}" for i in range(len(people_per_image))]
    skeletons = {people.skeleton for people in people_per_image}
    if len(skeletons) != 1:
        raise ValueError(f"a page is of one skeleton, got {sorted(s.name for s in skeletons) or 'no images'}")
    placed = [people.placed_by_default() for people in people_per_image]
    shared = common_bounds(map(scene_of, placed)) if one_scene else None
    frames = [_frame(*one, shared) for one in zip(placed, images, names, strict=True)]
    (skeleton,) = skeletons
    content = {
        "skeleton": skeleton.name,
        "joints": skeleton.joints,
        "bones": skeleton.bone_indices,
        "boneColours": [_css(bone_colour(bone)) for bone in skeleton.bones],
        "largeSpread": LARGE_SPREAD_M,
        "frames": frames,
    }
    template = files("lcrnet_d2.outputs").joinpath("html_viewer_template.html").read_text(encoding="utf-8")
    # The title first: data may contain its placeholder, a title's braces are escaped.
    heading = html.escape(title.encode(errors="backslashreplace").decode()).replace("{", "&#123;")  # odd file names
    page = template.replace("{{title}}", heading)
    write_text(path, page.replace("{{data}}", _script_safe(content)))


class PosePage:
    """Frames of which every one, every second, every fourth ... is kept, so that a page stays small."""

    def __init__(self, most_frames: int = 200, *, one_scene: bool = False) -> None:
        """
        Args:
            most_frames: at 60 kB a frame, 200 are a page of 12 MB.
            one_scene: of `write_html`.
        """
        self._stride = 1
        self._one_scene = one_scene
        self._most_frames = most_frames
        self._seen = 0
        self._frames: list[tuple[DetectedPeople, np.ndarray, str]] = []

    def add(self, people: DetectedPeople, image: np.ndarray, name: str) -> None:
        """The next frame: its people, (H, W, 3) RGB pixels, and what it is called."""
        if self._seen % self._stride == 0:
            self._frames.append((people, _shown_size(image), name))  # 200 photos of 12 megapixels would take 7 GB
        self._seen += 1
        if len(self._frames) > self._most_frames:
            self._frames = self._frames[::2]
            self._stride *= 2

    def write(self, path: str | Path, title: str) -> None:
        """Writes the page, whole or not at all; none if no frame was added."""
        if self._frames:
            people, images, names = zip(*self._frames, strict=True)
            write_html(people, images, path, title, names, one_scene=self._one_scene)


def _script_safe(content: dict[str, Any]) -> str:
    """JSON that cannot end the <script> it stands in, whatever names are in it; null for NaN."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _frame(people: DetectedPeople, image: np.ndarray, name: str, bounds: np.ndarray | None) -> dict[str, Any]:
    height, width = people.image_size
    low, high = scene_of(people).bounds() if bounds is None else bounds
    return {
        "name": name,
        "width": width,
        "height": height,
        "image": "data:image/jpeg;base64," + base64.b64encode(encoded_jpeg(_shown_size(image), _JPEG_QUALITY)).decode(),
        "hasDepth": not isinstance(people.camera, OrthographicCamera),
        "low": _listed(low, 4),
        "high": _listed(high, 4),
        "interpolated": list(people.interpolated),
        "people": _people(people),
    }


def _people(people: DetectedPeople) -> list[dict[str, Any]]:
    numbers, inferred, placed = person_numbers(people), is_inferred(people), people.in_camera()
    return [
        {
            "number": numbers[i],
            "colour": _css(person_colour(numbers[i])),
            "confidence": round(float(people.confidences[i]), 3),
            "points": _listed(people.keypoints_2d[i], 1),
            "joints": _listed(placed[i], 4),
            "spreads2d": _listed(people.spreads_2d[i], 1),
            "spreads3d": _listed(people.spreads_3d[i], 4),
            "inImage": people.in_image[i].tolist(),
            "inferred": inferred[i].tolist(),
        }
        for i in range(len(people))
    ]


def _listed(values: np.ndarray, digits: int) -> list[Any]:
    """Rounded; null for a joint or number that is not finite."""
    rounded = np.asarray(values, dtype=np.float64).round(digits)
    return [row.tolist() if np.isfinite(row).all() else None for row in rounded]


def _shown_size(image: np.ndarray) -> np.ndarray:
    """The image as a page keeps it: itself, or scaled to 960 px."""
    height, width = image.shape[:2]
    scale = _LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
