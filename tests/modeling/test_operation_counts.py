"""A GPU waits for Python: how many operations and waits a batch costs does not grow with its images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Instances
from detectron2.utils.events import EventStorage
from torch import nn

from lcrnet_d2.config import load_config
from lcrnet_d2.data import PoseTargets, TilePeople
from lcrnet_d2.modeling.joint_heat_maps import JointMaps, joint_losses, joint_targets
from lcrnet_d2.modeling.meta_arch import rescale
from lcrnet_d2.structures import AnchorPoses
from operation_count import OperationCount, as_on_a_gpu
from tests_support import random_poses, seen_at

OPTS = ["MODEL.LCRNET.NUM_ANCHOR_POSES", 4, "MODEL.LCRNET.UPPER_BODY", True, "MODEL.FPN.OUT_CHANNELS", 16]
OPTS += ["MODEL.ROI_BOX_HEAD.FC_DIM", 32, "MODEL.DEVICE", "cpu"]
BATCHES = (1, 4, 16)


@pytest.fixture(scope="module")
def model(anchors: AnchorPoses) -> nn.Module:
    torch.manual_seed(0)
    model = build_model(load_config("Base-LCRNet-Lite0-FPN.yaml", OPTS))
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    return model


@pytest.fixture(autouse=True)
def _on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_a_gpu(monkeypatch)


def target(number: int, anchors: AnchorPoses) -> Instances:
    """Of the image of this number in a batch: one to four people, some with a crowd, some partly annotated."""
    people = 1 + number % 4
    poses = random_poses(people, seed=number)
    points = torch.cat([seen_at(poses, 40, 48, 45), torch.full((people, 13, 1), 2.0)], -1)
    crowd = torch.tensor([[70.0, 10.0, 120.0, 90.0]])[: number % 2]
    exact, nobody = torch.zeros_like(poses), torch.zeros(0, 4)
    return PoseTargets(anchors)([TilePeople(points, poses, exact, nobody, crowd, (96, 128), number % 3 == 2)])


def training_counts(model: Any, images: int, anchors: AnchorPoses) -> OperationCount:
    """Of everything after the backbone up to the losses."""
    batch = [{"image": torch.randint(255, (3, 96, 128), dtype=torch.uint8)} for _ in range(images)]
    inputs = model.train().preprocess_image(batch)
    features = model.backbone(inputs.tensor)
    targets = [target(number, anchors) for number in range(images)]
    with EventStorage(), OperationCount() as count:
        regions, _ = model.proposal_generator(inputs, features, targets)
        model.roi_heads(inputs, features, regions, targets)
    return count


def test_training(model: nn.Module, anchors: AnchorPoses) -> None:
    one, four, sixteen = (training_counts(model, images, anchors) for images in BATCHES)
    assert four.operations <= 1.5 * one.operations and sixteen.operations <= 1.5 * one.operations
    assert max(one.waits, four.waits, sixteen.waits) <= 10, sixteen.waits_by_name


def test_targets_and_losses_of_heat_maps_wait_for_nothing(anchors: AnchorPoses) -> None:
    counts = []
    for images in BATCHES:
        maps = JointMaps(torch.randn(images, 13, 24, 32), torch.randn(images, 13, 2, 24, 32))
        targets = [target(number, anchors) for number in range(images)]
        with OperationCount() as count:
            joint_losses(maps, joint_targets(targets, (24, 32)))
        assert count.waits == 0, count.waits_by_name
        counts.append(count.operations)
    assert max(counts) <= 1.5 * min(counts)


@torch.no_grad()
def inference_counts(model: Any, images: int) -> OperationCount:
    """Of everything after the RPN up to people; the same image again and again."""
    batch = [{"image": torch.randint(255, (3, 96, 128), dtype=torch.uint8)}] * images
    inputs = model.eval().preprocess_image(batch)
    features = model.backbone(inputs.tensor)
    regions, _ = model.proposal_generator(inputs, features, None)
    with OperationCount() as count:
        people, _ = model.roi_heads(inputs, features, regions)
    assert len(people) == images and all(len(found) > 0 for found in people)
    return count


def test_inference(model: nn.Module) -> None:
    """4 waits, and 2 in a round: of suppression, looked at after every four, or of modes."""
    one, four, sixteen = (inference_counts(model, images) for images in BATCHES)
    assert four.operations <= 1.5 * one.operations and sixteen.operations <= 1.5 * one.operations
    for count in (one, four, sixteen):
        rounds = count.waits_by_name["equal.default"] + count.waits_by_name["nonzero.default"]
        assert count.waits <= 4 + 2 * rounds and count.waits - rounds <= 5, count.waits_by_name


@torch.no_grad()
def test_before_the_backbone_and_after_people(model: Any) -> None:
    counts = []
    for images in BATCHES:
        batch = [{"image": torch.randint(255, (3, 96, 128), dtype=torch.uint8), "height": 50}] * images
        features = model.backbone(model.eval().preprocess_image(batch).tensor)
        regions, _ = model.proposal_generator(model.preprocess_image(batch), features, None)
        people, _ = model.roi_heads(model.preprocess_image(batch), features, regions)
        with OperationCount() as count:
            model.preprocess_image(batch)
            rescale(people, batch)
        counts.append(count)
    assert counts[2].operations <= 1.5 * counts[0].operations, counts[2].by_name - counts[0].by_name
    assert max(count.waits for count in counts) <= 2, counts[2].waits_by_name


def test_the_meter_sees_what_it_is_for() -> None:
    numbers = torch.arange(4.0)
    with OperationCount() as count:
        numbers.view(2, 2).sum()
    assert count.operations == 2 and count.waits == 0
    with OperationCount() as count:
        numbers[numbers > 1].tolist()
        numbers.sum().item()
        numbers.nonzero()
        bool(numbers.any())
        numbers.long().bincount()
    assert count.waits == 6
