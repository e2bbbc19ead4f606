from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lcrnet_d2.structures import CROWD, PERSON, UNANNOTATED, intersections, lies_in_ignored_region

BOXES = torch.tensor(
    [
        [0.0, 0.0, 10.0, 10.0],  # wholly in the crowd
        [15.0, 0.0, 25.0, 10.0],  # half in it
        [16.0, 0.0, 26.0, 10.0],  # four tenths in it
        [50.0, 50.0, 60.0, 60.0],  # far away
    ]
)


def ignored(boxes: Tensor, gt: Tensor, kinds: Tensor) -> Tensor:
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return lies_in_ignored_region(intersections(gt, boxes), areas, kinds)


def test_half_of_a_boxs_own_area_in_a_crowd_is_enough() -> None:
    gt = torch.tensor([[0.0, 0.0, 20.0, 20.0]])
    assert ignored(BOXES, gt, torch.tensor([CROWD])).tolist() == [True, True, False, False]


def test_a_partly_annotated_image_is_known_only_where_its_people_are() -> None:
    gt = torch.tensor([[0.0, 0.0, 100.0, 100.0], [48.0, 48.0, 70.0, 70.0]])
    kinds = torch.tensor([UNANNOTATED, PERSON])
    assert ignored(BOXES, gt, kinds).tolist() == [True, True, True, False]


def test_a_person_in_a_crowd_does_not_make_it_known() -> None:
    gt = torch.tensor([[0.0, 0.0, 20.0, 20.0], [0.0, 0.0, 10.0, 10.0]])
    assert ignored(BOXES, gt, torch.tensor([CROWD, PERSON])).tolist() == [True, True, False, False]


def test_without_regions_nothing_is_ignored() -> None:
    assert not ignored(BOXES, BOXES, torch.full((4,), PERSON)).any()
    assert ignored(BOXES[:0], BOXES, torch.full((4,), CROWD)).shape == (0,)


_SIDE = st.integers(0, 12)
_BOXES = st.lists(st.tuples(_SIDE, _SIDE, _SIDE, _SIDE), max_size=4)


@given(boxes=_BOXES, regions=_BOXES)
def test_intersections_are_counted_pixels(boxes: list[tuple[int, ...]], regions: list[tuple[int, ...]]) -> None:
    """Corners may be the wrong way round: such a box is empty, and no part of it is anywhere."""

    def pixels(box: tuple[int, ...]) -> set[tuple[int, int]]:
        return {(x, y) for x in range(box[0], box[2]) for y in range(box[1], box[3])}

    slow = [[float(len(pixels(b) & pixels(r))) for b in boxes] for r in regions]
    tensors = (torch.tensor(of, dtype=torch.float32).view(-1, 4) for of in (regions, boxes))
    assert torch.equal(intersections(*tensors), torch.tensor(slow).view(len(regions), len(boxes)))


def test_a_region_that_is_no_number_holds_nothing() -> None:
    gt = torch.tensor([[0.0, 0.0, torch.nan, 20.0], [0.0, 0.0, torch.inf, torch.inf]])
    kinds = torch.tensor([CROWD, CROWD])
    assert ignored(BOXES, gt[:1], kinds[:1]).tolist() == [False] * 4
    assert ignored(BOXES, gt, kinds).tolist() == [True] * 4
