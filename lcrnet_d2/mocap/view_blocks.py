"""The 2D of a view base in blocks, and how queries are taken together against them: the search's inner numbers.

Shapes: J joints, G masks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .virtual_views import ViewBase

__all__ = ["BLOCK", "MIN_EXTENT", "ROWS", "inverse_extent", "projections", "runs"]

#: Views and
BLOCK = 4096
#: queries of one product: 2 MB, which stay in a core's cache until the maximum is taken.
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


def inverse_extent(views: Tensor, masks: Tensor) -> Tensor:
    """(G, B) 1 / |d| of (2J, B) views, centred on the joints of each mask (G, J)."""
    x, y = views.chunk(2)
    averaging = masks * masks.sum(1, keepdim=True).rsqrt()
    extent = masks @ (x * x + y * y)
    for coordinate in (x, y):  # in place: with hundreds of masks these arrays do not fit a core's cache
        total = averaging @ coordinate
        extent.addcmul_(total, total, value=-1.0)
    return extent.clamp_(min=MIN_EXTENT**2).rsqrt_()
