"""The 2D of a view base in blocks, and how queries are taken together against them: the search's inner numbers.

Shapes: J joints, G masks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .virtual_views import ViewBase

__all__ = ["BLOCK", "MIN_EXTENT", "ROWS", "ExtentBuffers", "projections", "runs"]

#: Views of one product with up to `ROWS` queries: 2 MB, which stay in a core's cache until the maximum is taken.
BLOCK = 4096
ROWS = 128
#: Metres: a view whose annotated joints all but coincide is as one this large.
MIN_EXTENT = 1e-3


def projections(views: ViewBase) -> Tensor:
    """(V / BLOCK, 2J, BLOCK) float32: x of all joints, then y; the last block padded with zeros."""
    base = torch.zeros(-(-len(views) // BLOCK), 2 * len(views.skeleton), BLOCK)
    for block, start in zip(base, range(0, len(views), BLOCK), strict=True):
        part = views.poses_2d(slice(start, start + BLOCK))
        block[:, : len(part)] = part.permute(2, 1, 0).flatten(0, 1)
    return base


def runs(counts: list[int], coordinates: int) -> list[tuple[slice, slice]]:
    """Queries and their masks that are scanned together: one mask of many queries, or several of few.

    Scaling the 2J coordinates of the views costs less than scaling the products of more than 2J queries. Masks of
    fewer queries share a product of up to `ROWS` rows: one product per mask was half as fast (171
    against 376 queries/s for 512 masks and 10^6 views).
    """
    found: list[tuple[slice, slice]] = []
    first = 0
    for mask, count in enumerate(counts):
        last = first + count
        few = count <= coordinates
        if few and found and found[-1][0].start + ROWS >= last and counts[mask - 1] <= coordinates:
            queries, of = found.pop()
            found.append((slice(queries.start, last), slice(of.start, mask + 1)))
        else:
            found.append((slice(first, last), slice(mask, mask + 1)))
        first = last
    return found


class ExtentBuffers:
    """Memory for `inverse_extent`, used again for every block: with 2 MB allocated anew each time the search took 15 %
    longer."""

    def __init__(self, masks: int, like: Tensor) -> None:
        """
        Args:
            masks: G, at most.
            like: (2J, BLOCK), a block of views.
        """
        joints = len(like) // 2
        self._squares, self._y_squares = like.new_empty(2, joints, like.shape[1])
        self._extents, self._totals = like.new_empty(2, masks * like.shape[1])
        self._views: Tensor | None = None

    def inverse_extent(self, views: Tensor, masks: Tensor) -> Tensor:
        """(G, B) 1 / |d| of (2J, B) views, centred on the joints of each mask (G, J); valid until the next call."""
        x, y = views.chunk(2)
        if self._views is not views:
            torch.mul(x, x, out=self._squares)
            self._squares.add_(torch.mul(y, y, out=self._y_squares))
            self._views = views
        size = len(masks) * views.shape[1]
        extent, total = (buffer[:size].view(len(masks), -1) for buffer in (self._extents, self._totals))
        averaging = masks * masks.sum(1, keepdim=True).rsqrt()
        torch.mm(masks, self._squares, out=extent)
        for coordinate in (x, y):
            torch.mm(averaging, coordinate, out=total)
            extent.addcmul_(total, total, value=-1.0)
        return extent.clamp_(min=MIN_EXTENT**2).rsqrt_()
