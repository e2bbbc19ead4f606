"""Training pictures that show a person large: the pixels a pass through the backbone costs are spent on people.

In LSPE and COCO a person fills a fifth of the picture; fitted whole into a tile of 128 px, they are left with 50 px of
height and the rest is background and padding.
"""

from __future__ import annotations

import math

import numpy as np
from detectron2.data import transforms as T

__all__ = ["PersonZoom"]

_PADDING = 128.0  # as of Detectron2's FixedSizeCrop
#: The person's centre lies at most this share of the canvas from its centre.
_MAX_SHIFT = 0.15
#: Of the pixels: people of 20 px show nothing at 200.
_MAX_ENLARGEMENT = 4.0
#: Of the picture's longer side: what is looked at instead of a person where there is nobody.
_EMPTY_PLACE = 0.25, 1.0


class PersonZoom(T.Augmentation):
    """A square around one of the people, drawn at random; around any place where there is nobody.

    The person's longer side becomes a share of the canvas drawn log-uniformly from `sizes`. In a picture without people
    a place of a quarter to all of its longer side is looked at, so that a wheel or a shelf fills the canvas as people
    do. The square is moved into the picture; where the picture is the smaller one, all of it is shown and the rest is
    grey.
    """

    def __init__(self, canvas: int, sizes: tuple[float, float]) -> None:
        """
        Args:
            canvas: side of the result, px.
            sizes: smallest and largest share of it.
        """
        super().__init__()
        low, high = sizes
        if not 0 < low <= high:
            raise ValueError(f"PERSON_SIZE is [{low}, {high}], expected 0 < smallest <= largest")
        self.canvas = canvas
        self.sizes = low, high

    def get_transform(  # pyright: ignore[reportIncompatibleMethodOverride]  as in Detectron2's own
        self, image: np.ndarray, boxes: np.ndarray
    ) -> T.Transform:
        """
        Args:
            image: (H, W, 3); boxes: (n, 4) px of the people.
        """
        height, width = image.shape[:2]
        x1, y1, x2, y2 = boxes[np.random.randint(len(boxes))] if len(boxes) else _place(height, width)
        share = _log_uniform(self.sizes)
        side = max(max(x2 - x1, y2 - y1) / share, self.canvas / _MAX_ENLARGEMENT)
        # A picture much longer than wide would shrink to less than 2 px across, squeezed by the rounding to whole ones.
        side = min(side, self.canvas * min(height, width) / 2)
        centre = np.array([x1 + x2, y1 + y2]) / 2 + np.random.uniform(-_MAX_SHIFT, _MAX_SHIFT, 2) * side
        spare = np.array([width, height]) - side
        x, y = np.clip(centre - side / 2, np.minimum(spare, 0), np.maximum(spare, 0))
        return self._window(x, y, side, height, width)

    def _window(self, x: float, y: float, side: float, height: int, width: int) -> T.TransformList:
        """The square at (x, y) of `side` px in a picture of height and width, brought to the canvas."""
        left, top = max(math.floor(x), 0), max(math.floor(y), 0)
        right, bottom = min(math.ceil(x + side), width), min(math.ceil(y + side), height)
        scale = self.canvas / side
        new_w, new_h = (max(1, round(n * scale)) for n in (right - left, bottom - top))
        # What rounding to whole pixels has made too large is cut off, what is missing is padded.
        before_x, before_y = max(0, round((left - x) * scale)), max(0, round((top - y) * scale))
        kept_w, kept_h = min(new_w, self.canvas - before_x), min(new_h, self.canvas - before_y)
        return T.TransformList(
            [
                T.CropTransform(left, top, right - left, bottom - top, width, height),
                T.ResizeTransform(bottom - top, right - left, new_h, new_w),
                T.CropTransform(0, 0, kept_w, kept_h, new_w, new_h),
                T.PadTransform(
                    before_x, before_y, self.canvas - before_x - kept_w, self.canvas - before_y - kept_h,
                    kept_w, kept_h, pad_value=_PADDING,
                ),
            ]
        )  # fmt: skip


def _place(height: int, width: int) -> np.ndarray:
    """(4,) px, square: of a side drawn log-uniformly from _EMPTY_PLACE, its centre anywhere in the picture."""
    side = max(height, width) * _log_uniform(_EMPTY_PLACE)
    x, y = np.random.uniform(0, width), np.random.uniform(0, height)
    return np.array([x, y, x, y]) + np.array([-1, -1, 1, 1]) * side / 2


def _log_uniform(bounds: tuple[float, float]) -> float:
    return math.exp(np.random.uniform(*np.log(bounds)))
