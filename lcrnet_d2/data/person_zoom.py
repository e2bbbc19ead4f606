"""Training pictures that show a person large: the pixels a pass through the backbone costs are spent on people.

In LSPE and COCO a person fills a fifth of the picture; fitted whole into a tile of 128 px, they are left with 50 px of
height and the rest is background and padding.
"""

from __future__ import annotations

import math

import numpy as np
from detectron2.data import transforms as T

__all__ = ["PersonZoom", "WindowTransform"]

_PADDING = 128  # as of Detectron2's FixedSizeCrop
#: The person's centre lies at most this share of the canvas from its centre.
_MAX_SHIFT = 0.15
#: Of the pixels: people of 20 px show nothing at 200.
_MAX_ENLARGEMENT = 4.0
#: Where cameras cut people, as shares of their length from the head on: at the chest, the hips or the knees.
_CUTS, _CUT_SPREAD = (0.32, 0.52, 0.75), 0.08
#: Share of the canvas that the longer side of what is left takes; above 1 more of them is outside.
_CUT_SIZES = 0.6, 1.3
#: Of upright people so many keep their head; of lying ones half.
_HEAD_STAYS = 0.85
#: Of the picture's longer side: what is looked at instead of a person where there is nobody.
_EMPTY_PLACE = 0.25, 1.0


class PersonZoom(T.Augmentation):
    """A square around one of the people, drawn at random; around any place where there is nobody.

    The person's longer side becomes a share of the canvas drawn log-uniformly from `sizes`; or, with a probability
    `cut`, an edge of the square cuts them across their longer side, as an edge of a photo does at chest, hips or knees.
    In a picture without people a place of a quarter to all of its longer side is looked at, so that a wheel or a shelf
    fills the canvas as people do. The square is moved into the picture; where the picture is the smaller one, all of it
    is shown and the rest is grey.
    """

    def __init__(self, canvas: int, sizes: tuple[float, float], cut: float = 0.0) -> None:
        """
        Args:
            canvas: side of the result, px.
            sizes: smallest and largest share of it.
            cut: probability that the person is cut.
        """
        super().__init__()
        low, high = sizes
        if not 0 < low <= high:
            raise ValueError(f"PERSON_SIZE is [{low}, {high}], expected 0 < smallest <= largest")
        if not 0 <= cut <= 1:
            raise ValueError(f"the probability CUT_PEOPLE is {cut}, expected 0 to 1")
        self.canvas = canvas
        self.sizes = low, high
        self.cut = cut

    def get_transform(  # pyright: ignore[reportIncompatibleMethodOverride]  as in Detectron2's own
        self, image: np.ndarray, boxes: np.ndarray
    ) -> T.Transform:
        """
        Args:
            image: (H, W, 3); boxes: (n, 4) px of the people.
        """
        height, width = image.shape[:2]
        box = boxes[np.random.randint(len(boxes))] if len(boxes) else _place(height, width)
        if len(boxes) and self.cut and np.random.uniform() < self.cut:
            return self._window(*self._cutting(box, height, width), height, width)
        side = self._side(max(box[2:] - box[:2]) / _log_uniform(self.sizes), height, width)
        x, y = self._corner((box[:2] + box[2:]) / 2, side, height, width)
        return self._window(x, y, side, height, width)

    def _side(self, wanted: float, height: int, width: int) -> float:
        # A picture much longer than wide would shrink to less than 2 px across, squeezed by the rounding to whole ones.
        return min(max(wanted, self.canvas / _MAX_ENLARGEMENT), self.canvas * min(height, width) / 2)

    def _corner(self, centre: np.ndarray, side: float, height: int, width: int) -> np.ndarray:
        """(2,) x, y of a square around about `centre` (2,), moved into the picture."""
        centre = centre + np.random.uniform(-_MAX_SHIFT, _MAX_SHIFT, 2) * side
        spare = np.array([width, height]) - side
        return np.clip(centre - side / 2, np.minimum(spare, 0), np.maximum(spare, 0))

    def _cutting(self, box: np.ndarray, height: int, width: int) -> tuple[float, float, float]:
        """x, y and side of a square one edge of which cuts the person's box (4,) across its longer side.

        Beyond the person it ends at the picture's edge, if enough of them is left in it.
        """
        upright = box[3] - box[1] >= box[2] - box[0]
        axis, length = int(upright), float(max(box[2:] - box[:2]))
        left = length * (np.random.choice(_CUTS) + np.random.uniform(-_CUT_SPREAD, _CUT_SPREAD))
        starts = np.random.uniform() < (_HEAD_STAYS if upright else 0.5)  # what is left starts at the box's low end
        edge = box[axis] + left if starts else box[axis + 2] - left
        room = edge if starts else (width, height)[axis] - edge
        across = float(box[3 - axis] - box[1 - axis])
        wanted = max(left, across) / _log_uniform(_CUT_SIZES)
        side = self._side(min(wanted, max(room, left)), height, width)
        corner = self._corner((box[:2] + box[2:]) / 2, side, height, width)
        # Boxes may lie outside, rotated ones do: an eighth of the square is in the picture, as far as it reaches. A
        # strip of less than 2 px of the canvas would be squeezed by the rounding to whole ones.
        across_picture = (width, height)[axis]
        shown = min(across_picture, side * max(1 / 8, 2 / self.canvas))
        corner[axis] = np.clip(edge - side if starts else edge, shown - side, across_picture - shown)
        return corner[0], corner[1], side

    def _window(self, x: float, y: float, side: float, height: int, width: int) -> T.Transform:
        """The square at (x, y) of `side` px in a picture of height and width, brought to the canvas."""
        left, top = max(math.floor(x), 0), max(math.floor(y), 0)
        right, bottom = min(math.ceil(x + side), width), min(math.ceil(y + side), height)
        scale = self.canvas / side
        new_w, new_h = (max(1, round(n * scale)) for n in (right - left, bottom - top))
        before = max(0, round((left - x) * scale)), max(0, round((top - y) * scale))
        return WindowTransform((left, top), (right - left, bottom - top), (new_w, new_h), before, self.canvas)


class WindowTransform(T.Transform):
    """A part of a picture, resized, on a grey square: CropTransform, ResizeTransform and PadTransform in one."""

    def __init__(
        self,
        corner: tuple[int, int],
        size: tuple[int, int],
        new_size: tuple[int, int],
        before: tuple[int, int],
        canvas: int,
    ) -> None:
        """
        Args:
            corner: x, y of the part; size: its width and height; new_size: those it is resized to, all px.
            before: columns and rows of grey left of it and above it.
            canvas: side of the square; what rounding to whole pixels has made too large for it is cut off.
        """
        super().__init__()
        self.corner, self.before, self.canvas = corner, before, canvas
        (self.w, self.h), (self.new_w, self.new_h) = size, new_size

    def apply_image(self, img: np.ndarray) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride]
        (left, top), (x, y) = self.corner, self.before
        part = np.ascontiguousarray(img[top : top + self.h, left : left + self.w])
        resized = T.ResizeTransform(self.h, self.w, self.new_h, self.new_w).apply_image(part)
        out = np.full((self.canvas, self.canvas, *img.shape[2:]), _PADDING, img.dtype)
        out[y : y + self.new_h, x : x + self.new_w] = resized[: self.canvas - y, : self.canvas - x]
        return out

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride]
        return (coords - self.corner) * (self.new_w / self.w, self.new_h / self.h) + self.before


def _place(height: int, width: int) -> np.ndarray:
    """(4,) px, square: of a side drawn log-uniformly from _EMPTY_PLACE, its centre anywhere in the picture."""
    side = max(height, width) * _log_uniform(_EMPTY_PLACE)
    x, y = np.random.uniform(0, width), np.random.uniform(0, height)
    return np.array([x, y, x, y]) + np.array([-1, -1, 1, 1]) * side / 2


def _log_uniform(bounds: tuple[float, float]) -> float:
    return math.exp(np.random.uniform(*np.log(bounds)))
