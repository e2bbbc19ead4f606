from __future__ import annotations

import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances

from lcrnet_d2.config import load_config
from lcrnet_d2.structures import CROWD, PERSON, UNANNOTATED

ANCHORS = [Boxes(torch.tensor([[0.0, 0.0, 20.0, 20.0], [0.0, 0.0, 20.0, 18.0], [60.0, 60.0, 80.0, 80.0]]))]


def labels(*rows: tuple[list[float], int]) -> list[int]:
    """RPN labels of ANCHORS in a 100 x 100 image with these boxes and kinds."""
    rpn = build_model(load_config("Base-LCRNet-Lite0-FPN.yaml", ["MODEL.DEVICE", "cpu"])).proposal_generator
    target = Instances((100, 100))
    target.gt_boxes = Boxes(torch.tensor([box for box, _ in rows]).view(-1, 4))
    target.gt_kinds = torch.tensor([kind for _, kind in rows], dtype=torch.long)
    found, boxes = rpn.label_and_sample_anchors(ANCHORS, [target])
    assert boxes[0].shape == (3, 4)
    return found[0].tolist()


def test_people_are_matched_and_the_rest_is_background() -> None:
    assert labels(([0.0, 0.0, 20.0, 20.0], PERSON)) == [1, 1, 0]


def test_a_crowd_is_neither() -> None:
    assert labels(([0.0, 0.0, 30.0, 30.0], CROWD)) == [-1, -1, 0]


def test_a_person_in_front_of_a_crowd_is_still_a_person() -> None:
    assert labels(([0.0, 0.0, 20.0, 20.0], PERSON), ([0.0, 0.0, 100.0, 100.0], CROWD)) == [1, 1, -1]


def test_where_not_everyone_is_annotated_background_is_unknown() -> None:
    assert labels(([0.0, 0.0, 100.0, 100.0], UNANNOTATED)) == [-1, -1, -1]
    # Inside the annotated person's box, but not matched: known background. (Anchors 0 and 2 are its best, so matched.)
    assert labels(([0.0, 0.0, 90.0, 90.0], PERSON), ([0.0, 0.0, 100.0, 100.0], UNANNOTATED)) == [1, 0, 1]


def test_an_image_without_people_is_background() -> None:
    assert labels() == [0, 0, 0]
