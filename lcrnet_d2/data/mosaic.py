"""Four images in one: more people for each pass through the backbone, smaller ones, cut by the tiles' edges.

A pass over a mosaic costs what a pass over one image costs. The tiles of a partly annotated data set keep
their own ignored region, so that the others beside them still teach what is background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances

__all__ = ["Mosaic", "join_tiles"]

_Record = dict[str, Any]
_Mapper = Callable[[_Record], _Record | None]


class Mosaic:
    """A mapper that now and then joins the tiles of four images, and otherwise maps one alone."""

    def __init__(
        self,
        mapper: _Mapper,
        tile_mapper: _Mapper,
        partners: Sequence[_Record],
        weights: Sequence[float],
        probability: float,
    ) -> None:
        """
        Args:
            mapper: for an image alone.
            tile_mapper: for one of four; gives images of half the width and height.
            partners: dataset dicts the other three are drawn from, with probabilities as `weights`.
            probability: of a mosaic.
        """
        self.mapper = mapper
        self.tile_mapper = tile_mapper
        self.partners = partners
        running = np.cumsum(weights)
        self.cumulative = running / running[-1]  # ends at exactly 1: `np.sum` may round to a little more
        self.probability = probability

    def __call__(self, dataset_dict: _Record) -> _Record | None:
        """None for an image that cannot be read, as of the mappers."""
        if np.random.uniform() >= self.probability:
            return self.mapper(dataset_dict)
        others = np.searchsorted(self.cumulative, np.random.uniform(size=3), side="right")
        tiles = [self.tile_mapper(d) for d in (dataset_dict, *(self.partners[i] for i in others))]
        read = [tile for tile in tiles if tile is not None]
        return join_tiles(read) if len(read) == 4 else self.mapper(dataset_dict)


def join_tiles(tiles: Sequence[_Record]) -> _Record:
    """Four records with images of one size (h, w) as one of (2h, 2w): top left, top right, bottom left and right.

    Image id and file name are the first's. Boxes and 2D joints move along; 3D poses stay as they are.
    """
    top_left, top_right, bottom_left, bottom_right = (tile["image"] for tile in tiles)
    image = torch.cat([torch.cat([top_left, top_right], 2), torch.cat([bottom_left, bottom_right], 2)], 1)
    height, width = top_left.shape[1:]
    size = (2 * height, 2 * width)
    rows = [
        _moved(tile["instances"], x, y, size)
        for tile, (x, y) in zip(tiles, [(0, 0), (width, 0), (0, height), (width, height)], strict=True)
    ]
    return tiles[0] | {"image": image, "height": size[0], "width": size[1], "instances": Instances.cat(rows)}


def _moved(rows: Instances, x: int, y: int, size: tuple[int, int]) -> Instances:
    """The rows of a tile at (x, y) px of an image of `size`."""
    moved = Instances(size, **rows.get_fields())
    moved.gt_boxes = Boxes(rows.gt_boxes.tensor + torch.tensor([x, y, x, y]))
    moved.gt_keypoints = rows.gt_keypoints + torch.tensor([x, y, 0])
    return moved
