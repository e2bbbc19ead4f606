"""Pseudo ground truth: the MoCap pose and view whose projection is nearest to a 2D pose (Sec. 4.2).

For a query q (J, 2) with mask m and a view d (J, 2), both centred on their annotated joints, the best translation
is 0 and the best scale s = <q, d> / <d, d>; what remains is |q|^2 (1 - c^2) with c = <q, d> / (|q| |d|). So the nearest
view with a positive scale is the one of largest c. As q sums to 0 over the mask, <q, d> needs no centring of d,
and |d|^2 = sum m d^2 - |sum m d|^2 / sum m.

Shapes: N queries, V views, J joints, G masks, C chunks of `_CHUNK` views.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from ..structures import Skeleton, joint_box
from .virtual_views import ViewBase

__all__ = ["MIN_JOINTS", "PseudoPoseSearch", "PseudoPoses", "is_searchable", "matching_error"]

#: Fewer annotated joints do not fix a pose: below this (and without a shoulder and a hip) no 3D is given.
MIN_JOINTS = 4

#: Views of one product with up to `ROWS` queries: 2 MB, which stay in a core's cache until the maximum is taken.
BLOCK = 4096
ROWS = 128
#: Metres: a view whose annotated joints all but coincide is as one this large.
MIN_EXTENT = 1e-3
_CHUNK = 256  # the scan keeps one maximum per chunk; the best chunks are then measured again in double precision
_CHUNKS_IN_BLOCK = BLOCK // _CHUNK
_RANKED = 4  # chunks of a query measured again at once, where the first does not decide
# A bound on the error of c in the scan: 26 products in single precision, views not centred on the mask (|d| up to
# about 5 times the centred one). Measured: below 1e-6.
_SCAN_ERROR = 5e-6
_TIE = 1e-12  # c in double precision; below it the lowest view index wins, on every device


class PseudoPoses(NamedTuple):
    """What was found, for N queries.

    Attributes:
        found: (N,) bool; False where the query has too few joints, no view fits, or the error is above the
            threshold. The 3D pose of such a person is unknown (ignored in training).
        poses_3d: (N, J, 3) metres, axes of the camera, body-centred, in MoCap's own size; 0 where no view fits.
        poses_2d: (N, J, 2) px: annotated joints as annotated, the others from the view after scale and translation.
        view_index: (N,) of the view base, -1 where no view fits.
        scale: (N,) px per metre.
        error_px: (N,) mean distance of the annotated joints to the fitted view's; infinite where no view fits.
        error_relative: (N,) the same as a fraction of the pose's size, the square root of the area of the
            box around the annotated joints.
    """

    found: Tensor
    poses_3d: Tensor
    poses_2d: Tensor
    view_index: Tensor
    scale: Tensor
    error_px: Tensor
    error_relative: Tensor


def is_searchable(annotated: Tensor, skeleton: Skeleton) -> Tensor:
    """(N,) bool of (N, J) bool: at least `MIN_JOINTS` joints, among them a shoulder and a hip.

    95 % of the LSPE people; all four torso joints would leave 60 %.
    """
    shoulders = annotated[:, skeleton.indices(["left_shoulder", "right_shoulder"])].any(1)
    hips = annotated[:, skeleton.indices(["left_hip", "right_hip"])].any(1)
    return (annotated.sum(1) >= MIN_JOINTS) & shoulders & hips


class PseudoPoseSearch:
    """Exact nearest views of 2D poses.

    Holds the 2D of all views: 4 * 2J bytes each, 104 MB for a million views of 13 joints. The projections are made on
    the CPU whatever the device, so that the same base gives the same answers everywhere.
    """

    def __init__(self, views: ViewBase, device: torch.device | str = "cpu", memory_budget: int = 2**29) -> None:
        """
        Args:
            views: on the CPU.
            device: where to search.
            memory_budget: bytes of working memory, on top of the base's own.
        """
        if memory_budget < 2**22:
            raise ValueError(f"memory budget of {memory_budget} bytes; the search needs at least {2**22}")
        self.views = views
        self._device = torch.device(device)
        self._budget = memory_budget
        self._base = projections(views).to(self._device)

    def find(self, poses_2d: Tensor, annotated: Tensor, max_error: float | None = None) -> PseudoPoses:
        """`batches`, `nearest_views` and `fit` in one; see there."""
        poses_2d, annotated = self._checked(poses_2d, annotated)
        view_index = torch.full((len(annotated),), -1, dtype=torch.long)
        for rows in self.batches(annotated):
            view_index[rows] = self.nearest_views(poses_2d[rows], annotated[rows])
        return self.fit(poses_2d, annotated, view_index, max_error)

    def batches(self, annotated: Tensor) -> list[Tensor]:
        """Indices of the searchable of (N, J) queries, sorted by mask and in portions that fit the memory budget.

        Queries of one mask share the work of normalising the views, so this order is the fast one.
        """
        annotated = annotated.cpu().bool()
        bits = 2 ** torch.arange(annotated.shape[1])
        rows = is_searchable(annotated, self.views.skeleton).nonzero()[:, 0]
        rows = rows[(annotated[rows] * bits).sum(1).argsort(stable=True)]
        chunks = len(self._base) * _CHUNKS_IN_BLOCK
        size = min(max(self._budget // 2 // (8 * chunks), 1), 8192)  # their maxima take half of the budget
        return list(rows.split(size)) if len(rows) else []

    @torch.no_grad()
    def nearest_views(self, poses_2d: Tensor, annotated: Tensor) -> Tensor:
        """(N,) index of the nearest view of each query, -1 where none fits with a scale above 0.

        Args:
            poses_2d: (N, J, 2) px, x right, y down; ignored where not annotated (NaN allowed there).
            annotated: (N, J) bool, at least one joint each; of `batches` for speed and bounded memory.

        Raises:
            ValueError: shapes that do not fit, annotated coordinates that are not finite.
        """
        poses_2d, annotated = self._checked(poses_2d, annotated)
        if len(annotated) == 0:
            return torch.zeros(0, dtype=torch.long)
        q = _directions(poses_2d, annotated).transpose(1, 2).flatten(1).to(self._device)  # (N, 2J): all x, then all y
        masks, counts = torch.unique_consecutive(annotated, dim=0, return_counts=True)
        with _full_precision():
            maxima = self._scan(q.float(), masks.float().to(self._device), counts.tolist())
        return self._measure_again(q, annotated.double().to(self._device), maxima).cpu()

    def fit(
        self, poses_2d: Tensor, annotated: Tensor, view_index: Tensor, max_error: float | None = None
    ) -> PseudoPoses:
        """Scales and translates views onto their queries, completes the 2D poses, measures the errors.

        Args:
            poses_2d, annotated: as for `nearest_views`.
            view_index: (N,) of `nearest_views`; -1: no view.
            max_error: reject matches with a larger relative error.
        """
        poses_2d, annotated = self._checked(poses_2d, annotated)
        hit = view_index >= 0
        poses_3d = poses_2d.new_zeros((*annotated.shape, 3))
        poses_3d[hit] = self.views.oriented(view_index[hit]).double()
        d = poses_3d[..., :2]
        q, centred = poses_2d - _mean(poses_2d, annotated), d - _mean(d, annotated)
        mask = annotated[..., None]
        squares = (centred**2 * mask).sum((1, 2)).clamp(min=MIN_EXTENT**2)
        scale = (q * centred * mask).sum((1, 2)) / squares
        fitted = scale[:, None, None] * centred + _mean(poses_2d, annotated)
        error, relative = (e.masked_fill(~hit, torch.inf) for e in matching_error(fitted, poses_2d, annotated))
        return PseudoPoses(
            found=hit if max_error is None else hit & (relative <= max_error),
            poses_3d=poses_3d.float(),
            poses_2d=torch.where(mask | ~hit[:, None, None], poses_2d, fitted).float(),
            view_index=view_index,
            scale=scale.masked_fill(~hit, 0.0).float(),
            error_px=error.float(),
            error_relative=relative.float(),
        )

    def _checked(self, poses_2d: Tensor, annotated: Tensor) -> tuple[Tensor, Tensor]:
        """On the CPU, in double precision, 0 where not annotated."""
        skeleton = self.views.skeleton
        n, j = annotated.shape[0], len(skeleton)
        if poses_2d.shape != (n, j, 2) or annotated.shape != (n, j):
            shapes = f"{tuple(poses_2d.shape)} joints with mask {tuple(annotated.shape)}"
            raise ValueError(f"{shapes}; expected (N, {j}, 2) and (N, {j}) ({skeleton.name})")
        annotated = annotated.cpu().bool()
        poses_2d = torch.where(annotated[..., None], poses_2d.cpu().double(), 0.0)
        broken = ~torch.isfinite(poses_2d).all(-1).all(-1)
        if broken.any():
            raise ValueError(f"2D pose {int(broken.nonzero()[0])} has an annotated joint that is not finite")
        return poses_2d, annotated

    def _scan(self, q: Tensor, masks: Tensor, counts: list[int]) -> Tensor:
        """(B, C) largest c of each chunk, in single precision: one product and a maximum per block and run."""
        maxima = q.new_empty(len(q), len(self._base) * _CHUNKS_IN_BLOCK)
        product = q.new_empty(min(len(q), ROWS) * BLOCK)
        normalised = torch.empty_like(self._base[0])
        mask_of = torch.repeat_interleave(torch.tensor(counts)).to(q.device)
        together = runs(counts, len(self._base[0]))
        extents = ExtentBuffers(max((of.stop - of.start for _, of in together), default=1), normalised)
        for block, views in enumerate(self._base):
            chunks = slice(block * _CHUNKS_IN_BLOCK, (block + 1) * _CHUNKS_IN_BLOCK)
            for queries, of in together:
                scale, shared = extents.inverse_extent(views, masks[of]), of.stop - of.start == 1
                if shared:
                    torch.mul(views, scale, out=normalised)
                for start in range(queries.start, queries.stop, ROWS):
                    rows = slice(start, min(start + ROWS, queries.stop))
                    part = product[: (rows.stop - start) * BLOCK].view(-1, BLOCK)
                    torch.mm(q[rows], normalised if shared else views, out=part)
                    if not shared:
                        part.mul_(scale if len(scale) == len(part) else scale[mask_of[rows] - of.start])
                    maxima[rows, chunks] = part.view(-1, _CHUNKS_IN_BLOCK, _CHUNK).amax(-1)
        return maxima

    def _measure_again(self, q: Tensor, masks: Tensor, maxima: Tensor) -> Tensor:
        """(B,) view of largest c in double precision, among the chunks that the scan's error leaves in question."""
        best = torch.zeros(len(q), dtype=torch.float64, device=q.device)
        view = torch.full((len(q),), -1, device=q.device)
        pending = torch.arange(len(q), device=q.device)
        values, order = maxima.topk(2, dim=1)
        rank, width = 0, 1
        while len(pending) > 0:
            ranked = order[:, rank : rank + width]
            for part in torch.arange(len(pending), device=q.device).split(self._rows_measured()):
                rows = pending[part]
                best[rows], view[rows] = self._best_of(q[rows], masks[rows], ranked[part], best[rows], view[rows])
            rank += width
            if rank >= values.shape[1]:
                break
            open_ = values[:, rank] + _SCAN_ERROR >= best[pending]
            pending, values, order = pending[open_], values[open_], order[open_]
            if width == 1:  # rare from here on: other chunks hold near-duplicates of the best view
                values, order = maxima[pending].sort(dim=1, descending=True)
                width = _RANKED
        return view

    def _rows_measured(self) -> int:
        bytes_per_query = _RANKED * _CHUNK * self._base.shape[1] * 8 * 4
        return max(self._budget // 4 // bytes_per_query, 1)

    def _best_of(self, q: Tensor, masks: Tensor, chunks: Tensor, best: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
        """The better of (best, view), each (B,), and the views of (B, R) chunks; of equals the lowest index."""
        by_chunk = self._base.unflatten(-1, (_CHUNKS_IN_BLOCK, _CHUNK))
        coordinates = by_chunk[chunks // _CHUNKS_IN_BLOCK, :, chunks % _CHUNKS_IN_BLOCK]  # (B, R, 2J, _CHUNK)
        d = coordinates.transpose(1, 2).flatten(2).double()  # (B, 2J, R * _CHUNK)
        index = (chunks[..., None] * _CHUNK + torch.arange(_CHUNK, device=q.device)).flatten(1)
        x, y = d.chunk(2, dim=1)
        squares, sum_x, sum_y = (torch.einsum("bj,bjv->bv", masks, of) for of in (x * x + y * y, x, y))
        extent = squares - (sum_x**2 + sum_y**2) / masks.sum(1, keepdim=True)
        c = torch.einsum("bj,bjv->bv", q.double(), d) * extent.clamp(min=MIN_EXTENT**2).rsqrt()
        c = torch.where(index < len(self.views), c, -1.0)
        c, index = torch.cat([c, best[:, None]], 1), torch.cat([index, view[:, None]], 1)
        largest = c.amax(1, keepdim=True)
        equal = (c >= largest - _TIE) & (c > 0) & (index >= 0)
        lowest = torch.where(equal, index, torch.iinfo(torch.long).max).amin(1)
        return largest[:, 0], torch.where(equal.any(1), lowest, -1)


def _mean(values: Tensor, annotated: Tensor) -> Tensor:
    """(N, 1, d) mean of (N, J, d) over the annotated joints."""
    mask = annotated[..., None].to(values)
    return (values * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)


def matching_error(fitted: Tensor, poses_2d: Tensor, annotated: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) px and (N,) as a fraction of the pose's size: mean distance of the annotated joints to the fitted ones.

    Args:
        fitted, poses_2d: (N, J, 2) px; ignored where not annotated.
        annotated: (N, J) bool.
    """
    distance = torch.linalg.vector_norm(fitted - poses_2d, dim=-1, keepdim=True)
    error = _mean(torch.where(annotated[..., None], distance, 0.0), annotated)[:, 0, 0]
    return error, error / _sizes(poses_2d, annotated)


def _directions(poses_2d: Tensor, annotated: Tensor) -> Tensor:
    """(N, J, 2) centred on the annotated joints, 0 elsewhere, of length 1."""
    centred = (poses_2d - _mean(poses_2d, annotated)) * annotated[..., None]
    length = torch.linalg.vector_norm(centred.flatten(1), dim=1).clamp(min=1e-12)
    return centred / length[:, None, None]


def _sizes(poses_2d: Tensor, annotated: Tensor) -> Tensor:
    """(N,) px: square root of the area of the box around the annotated joints, its sides at least 1 px."""
    anywhere = annotated.any(1)
    first = annotated.int().argmax(1)
    inside = torch.where(annotated[..., None], poses_2d, poses_2d[torch.arange(len(first)), first][:, None])
    box = joint_box(inside)
    sides = (box[:, 2:] - box[:, :2]).clamp(min=1.0)
    return torch.where(anywhere, sides.prod(1).sqrt(), torch.ones_like(sides[:, 0]))


@contextmanager
def _full_precision() -> Iterator[None]:
    """No TF32 or bfloat16 products: their error, 1e-3, would hide the nearest view."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


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
