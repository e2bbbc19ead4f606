from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import Tensor

from lcrnet_d2.config import load_config
from lcrnet_d2.modeling import LCRNetRPN
from lcrnet_d2.structures import CROWD, PERSON, UNANNOTATED
from operation_count import as_on_a_gpu

ANCHORS = [Boxes(torch.tensor([[0.0, 0.0, 20.0, 20.0], [0.0, 0.0, 20.0, 18.0], [60.0, 60.0, 80.0, 80.0]]))]


@pytest.fixture(scope="module")
def rpn() -> LCRNetRPN:
    return build_model(load_config("Base-LCRNet-Lite0-FPN.yaml", ["MODEL.DEVICE", "cpu"])).proposal_generator


def labels(rpn: LCRNetRPN, *rows: tuple[list[float], int]) -> list[int]:
    """RPN labels of ANCHORS in a 100 x 100 image with these boxes and kinds."""
    target = Instances((100, 100))
    target.gt_boxes = Boxes(torch.tensor([box for box, _ in rows]).view(-1, 4))
    target.gt_kinds = torch.tensor([kind for _, kind in rows], dtype=torch.long)
    found, boxes = rpn.label_and_sample_anchors(ANCHORS, [target])
    assert boxes[0].shape == (3, 4)
    return found[0].tolist()


PERSON_HERE, ALL = [0.0, 0.0, 20.0, 20.0], [0.0, 0.0, 100.0, 100.0]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], [0, 0, 0]),
        ([(PERSON_HERE, PERSON)], [1, 1, 0]),
        ([([0.0, 0.0, 30.0, 30.0], CROWD)], [-1, -1, 0]),
        ([(PERSON_HERE, PERSON), (ALL, CROWD)], [1, 1, -1]),  # in front of a crowd, still a person
        ([(ALL, UNANNOTATED)], [-1, -1, -1]),
        # Inside the annotated person's box, but not matched: known background. (Anchors 0 and 2 are its best.)
        ([([0.0, 0.0, 90.0, 90.0], PERSON), (ALL, UNANNOTATED)], [1, 0, 1]),
    ],
)
def test_labels_by_hand(rows: list[tuple[list[float], int]], expected: list[int], rpn: LCRNetRPN) -> None:
    assert labels(rpn, *rows) == expected


SIZES = [(64, 96), (60, 80), (33, 96)]


def outputs(rpn: LCRNetRPN) -> tuple[list[Boxes], list[Tensor], list[Tensor]]:
    """Anchors, and what a head may say of three images of 64 x 96 px, level by level."""
    maps = [torch.zeros(3, 1, 64 // stride, 96 // stride) for stride in (8, 16, 32, 64)]
    anchors = rpn.anchor_generator(maps)
    logits = [torch.randn(3, len(level)).requires_grad_() for level in anchors]
    deltas = [(0.3 * torch.randn(3, len(level), 4)).requires_grad_() for level in anchors]
    return anchors, logits, deltas


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_regions_are_detectron2s(training: bool, on_gpu: bool, rpn: LCRNetRPN, monkeypatch: pytest.MonkeyPatch) -> None:
    if on_gpu:
        as_on_a_gpu(monkeypatch)
    monkeypatch.setattr(rpn, "pre_nms_topk", {training: 100})  # less than the finest level has
    monkeypatch.setattr(rpn, "min_box_size", 12.0)
    rpn.train(training)
    inputs = outputs(rpn)
    mine, theirs = rpn.predict_proposals(*inputs, SIZES), RPN.predict_proposals(rpn, *inputs, SIZES)
    for image, same in zip(mine, theirs, strict=True):
        assert len(image) > 20 and image.image_size == same.image_size
        torch.testing.assert_close(image.objectness_logits, same.objectness_logits)
        torch.testing.assert_close(image.proposal_boxes.tensor, same.proposal_boxes.tensor)


@pytest.mark.parametrize("training", [False, True])
def test_what_is_not_finite_is_left_out(training: bool, rpn: LCRNetRPN) -> None:
    anchors, logits, deltas = outputs(rpn)
    with torch.no_grad():
        logits[0][1, 5] = torch.nan
        deltas[1][2, 7] = torch.inf
    for image in rpn.train(training).predict_proposals(anchors, logits, deltas, SIZES):
        assert len(image) and torch.isfinite(image.proposal_boxes.tensor).all()


@pytest.mark.parametrize("loss_type", ["smooth_l1", "giou"])
def test_losses_of_the_sample_are_detectron2s(loss_type: str, rpn: LCRNetRPN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpn, "box_reg_loss_type", loss_type)
    monkeypatch.setattr(rpn, "smooth_l1_beta", 0.1)
    monkeypatch.setattr(rpn, "batch_size_per_image", 64)
    monkeypatch.setattr(rpn, "loss_weight", {"loss_rpn_cls": 2.0, "loss_rpn_loc": 0.5})
    anchors, logits, deltas = outputs(rpn)
    targets = [target([5.0, 5.0, 40.0, 60.0], [50.0, 10.0, 90.0, 50.0]), target(), target([20.0, 0.0, 60.0, 30.0])]
    found, boxes = rpn.label_and_sample_anchors(anchors, targets)
    assert (found >= 0).sum(1).tolist() == [64, 64, 64] and (found == 1).any(1).tolist() == [True, False, True]
    with EventStorage():
        mine = rpn.losses(anchors, logits, found, deltas, boxes)
        theirs = RPN.losses(rpn, anchors, logits, list(found), deltas, list(boxes))
    torch.testing.assert_close(mine, theirs)
    gradients = (torch.autograd.grad(sum(losses.values()), [*logits, *deltas]) for losses in (mine, theirs))
    torch.testing.assert_close(*gradients)


def target(*boxes: list[float]) -> Instances:
    people = torch.full((len(boxes),), PERSON)
    return Instances((64, 96), gt_boxes=Boxes(torch.tensor(boxes).view(-1, 4)), gt_kinds=people)
