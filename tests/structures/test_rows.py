from __future__ import annotations

import torch

from lcrnet_d2.structures import CROWD, PERSON, UNANNOTATED, lies_in_ignored_region

BOXES = torch.tensor(
    [
        [0.0, 0.0, 10.0, 10.0],  # wholly in the crowd
        [15.0, 0.0, 25.0, 10.0],  # half in it
        [16.0, 0.0, 26.0, 10.0],  # four tenths in it
        [50.0, 50.0, 60.0, 60.0],  # far away
    ]
)


def test_half_of_a_boxs_own_area_in_a_crowd_is_enough() -> None:
    gt = torch.tensor([[0.0, 0.0, 20.0, 20.0]])
    assert lies_in_ignored_region(BOXES, gt, torch.tensor([CROWD])).tolist() == [True, True, False, False]


def test_a_partly_annotated_image_is_known_only_where_its_people_are() -> None:
    gt = torch.tensor([[0.0, 0.0, 100.0, 100.0], [48.0, 48.0, 70.0, 70.0]])
    kinds = torch.tensor([UNANNOTATED, PERSON])
    assert lies_in_ignored_region(BOXES, gt, kinds).tolist() == [True, True, True, False]


def test_a_person_in_a_crowd_does_not_make_it_known() -> None:
    gt = torch.tensor([[0.0, 0.0, 20.0, 20.0], [0.0, 0.0, 10.0, 10.0]])
    assert lies_in_ignored_region(BOXES, gt, torch.tensor([CROWD, PERSON])).tolist() == [True, True, False, False]


def test_without_regions_nothing_is_ignored() -> None:
    assert not lies_in_ignored_region(BOXES, BOXES, torch.full((4,), PERSON)).any()
    assert lies_in_ignored_region(BOXES[:0], BOXES, torch.full((4,), CROWD)).shape == (0,)
