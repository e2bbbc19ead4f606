"""Everyone's 2D pose on the image.

OpenCV draws it: Detectron2's Visualizer, which matplotlib draws for, takes 100 ms and more a frame and knows no hollow
joints, dashes or circles. It draws our Instances all the same, with the metadata of `structures.pose_metadata`.
Shapes: N people, J joints, px.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..detected_people import DetectedPeople
from ..structures import Skeleton, bone_colour, person_colour
from .canvas import Colour, blend, disc, line, text_size, write

__all__ = ["LARGE_SPREAD_M", "draw_people_2d", "is_inferred", "person_numbers"]

#: Metres of 3D spread beyond which a joint counts as a guess: half of the default T_3D, within which proposals
#: are averaged at all (Eq. 6).
LARGE_SPREAD_M = 0.15
_PAPER, _INK, _WHITE = (250, 250, 250), (25, 25, 25), (255, 255, 255)
_SPREAD_OPACITY = 0.3


def is_inferred(people: DetectedPeople) -> np.ndarray:
    """(N, J) bool, how every drawing shows joints: outside the image, or with a spread above LARGE_SPREAD_M."""
    return ~people.in_image | (people.spreads_3d > LARGE_SPREAD_M)


def person_numbers(people: DetectedPeople) -> list[int]:
    """What people are called and coloured by: their identities in a video, else 1, 2, ... by score."""
    return list(range(1, len(people) + 1)) if people.identities is None else people.identities.tolist()


def draw_people_2d(image: np.ndarray, people: DetectedPeople, scale: float = 1.0, margin: float = 0.0) -> np.ndarray:
    """The image with everyone's 2D pose, box, number and confidence in per cent.

    Bones: red on the person's right, blue on the left. Joints: filled where measured; hollow, with dashed bones,
    where inferred (`is_inferred`). Faint circles: the spread of the averaged proposals, its radius in px of the image.
    The number in per cent is the confidence: S of Eq. 7 is a sum and may exceed 1.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: in px of the image, best first; the best is drawn last.
        scale: size of the drawing beside that of the image.
        margin: paper around the image, in parts of the image's longer side, for the joints outside of it.

    Returns:
        (H', W', 3) uint8 RGB, a copy, with H' = round(scale (H + 2 margin max(H, W))), and W' likewise.
    """
    border = margin * max(image.shape[:2])
    canvas = _on_paper(image, scale, border)
    points = scale * (people.keypoints_2d.astype(np.float64) + border)
    width = max(2, round(min(canvas.shape[:2]) / 160))
    numbers, inferred = person_numbers(people), is_inferred(people)
    _spreads(canvas, points, scale * people.spreads_2d, numbers)
    for i in reversed(range(len(people))):
        colour = person_colour(numbers[i])
        _corners(canvas, scale * (people.boxes[i] + border), colour, width)
        _skeleton(canvas, points[i], inferred[i], people.skeleton, colour, width)
    for i in reversed(range(len(people))):
        label = f"{numbers[i]}  {100 * people.confidences[i]:.0f} %"
        _label(canvas, label, scale * (people.boxes[i] + border), person_colour(numbers[i]), width)
    return canvas


def _on_paper(image: np.ndarray, scale: float, border: float) -> np.ndarray:
    """A scaled copy of the image in the middle of a sheet."""
    height, width = image.shape[:2]
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left = round(scale * border)
    right, below = (
        round(scale * (side + 2 * border)) - left - inner for side, inner in ((width, size[0]), (height, size[1]))
    )
    return cv2.copyMakeBorder(scaled, left, below, left, right, cv2.BORDER_CONSTANT, value=_PAPER)


def _skeleton(
    canvas: np.ndarray, points: np.ndarray, inferred: np.ndarray, skeleton: Skeleton, colour: Colour, width: int
) -> None:
    """One person's bones, on white rims, and joints: (J, 2) px, (J,) bool, the colour of the person's joints."""
    for rim in (2, 0):
        for (a, b), bone in zip(skeleton.bone_indices, skeleton.bones, strict=True):
            dashed = bool(inferred[a] or inferred[b])
            line(canvas, points[a], points[b], _WHITE if rim else bone_colour(bone), width + rim, dashed=dashed)
    for point, is_hollow in zip(points, inferred, strict=True):
        draw_joint(canvas, point, colour, width, hollow=bool(is_hollow))


def draw_joint(canvas: np.ndarray, point: np.ndarray, colour: Colour, width: int, *, hollow: bool) -> None:
    """A disc of the person's colour with a white rim, or a white one with a rim of that colour."""
    radius = 1.1 * width + (2 if hollow else 1)
    disc(canvas, point, radius + (0 if hollow else 1), _WHITE)
    if hollow:
        disc(canvas, point, radius, colour, max(2, round(0.6 * width)))
    else:
        disc(canvas, point, radius, colour)


def _spreads(canvas: np.ndarray, points: np.ndarray, radii: np.ndarray, numbers: list[int]) -> None:
    layer = canvas.copy()
    for pose, person_radii, number in zip(points, radii, numbers, strict=True):
        for point, radius in zip(pose, person_radii, strict=True):
            disc(layer, point, radius, person_colour(number))
    blend(canvas, layer, _SPREAD_OPACITY)


def _corners(canvas: np.ndarray, box: np.ndarray, colour: Colour, width: int) -> None:
    """The corners of a box: enough to see it by, and nothing is hidden."""
    x1, y1, x2, y2 = box
    arm = 0.12 * min(x2 - x1, y2 - y1)
    for x, y, dx, dy in ((x1, y1, arm, arm), (x2, y1, -arm, arm), (x1, y2, arm, -arm), (x2, y2, -arm, -arm)):
        for end in ([x + dx, y], [x, y + dy]):
            line(canvas, np.array([x, y]), np.array(end), colour, max(1, width - 1))


def _label(canvas: np.ndarray, label: str, box: np.ndarray, colour: Colour, width: int) -> None:
    """White words on a plate of the person's colour above the box, moved into the canvas where they leave it."""
    size = 5 * width + 2
    words, height = text_size(label, size)
    pad = 2 * width
    x = float(np.clip(box[0], 0, max(canvas.shape[1] - words - 2 * pad, 0)))
    y = float(np.clip(box[1] - height - 2 * width, 0, max(canvas.shape[0] - height, 0)))
    corners = (round(x), round(y)), (round(x) + words + 2 * pad, round(y) + height)
    cv2.rectangle(canvas, *corners, colour, -1)
    write(canvas, label, (x + pad, y), size, _WHITE)
