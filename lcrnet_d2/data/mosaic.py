"""Four images in one: more people for each pass through the backbone, smaller ones, cut by the tiles' edges.

A pass over a mosaic costs what a pass over one image costs. The tiles of a partly annotated data set keep
their own ignored region, so that the others beside them still teach what is background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

__all__ = ["Mosaic", "join_tiles"]

_Record = dict[str, Any]


class _Mapper(Protocol):
    """`LCRNetDatasetMapper`: augments an image, then labels what may have been joined of several."""

    def __call__(self, dataset_dict: _Record, /) -> _Record | None: ...

    def augment(self, dataset_dict: _Record, /) -> _Record | None: ...

    def labelled(self, augmented: _Record, /) -> _Record: ...


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
            tile_mapper: augments one of four; gives images of half the width and height.
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
        tiles = [self.tile_mapper.augment(d) for d in (dataset_dict, *(self.partners[i] for i in others))]
        read = [tile for tile in tiles if tile is not None]
        return self.mapper.labelled(join_tiles(read)) if len(read) == 4 else self.mapper(dataset_dict)


def join_tiles(tiles: Sequence[_Record]) -> _Record:
    """Four augmented records of one size (h, w) as one of (2h, 2w): top left, top right, bottom left and right.

    Image id and file name are the first's. The people of each tile are told where it lies.
    """
    images = [tile["image"] for tile in tiles]
    image = np.vstack([np.hstack(images[:2]), np.hstack(images[2:])])
    height, width = images[0].shape[:2]
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    people = [tile["tiles"][0]._replace(corner=corner) for tile, corner in zip(tiles, corners, strict=True)]
    return tiles[0] | {"image": image, "height": 2 * height, "width": 2 * width, "tiles": people}
