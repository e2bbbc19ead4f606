from __future__ import annotations

import math

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.utils.events import EventStorage
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from lcrnet_d2.modeling import LCROutputLayers, PoseTransform, select_pose_proposals
from lcrnet_d2.modeling.labelling import SampledBoxes
from lcrnet_d2.structures import AnchorPoses
from operation_count import as_on_a_gpu

WIDTH, CLASSES = 16, 8  # K = 4 with upper-body classes


def layers(
    anchors: AnchorPoses | None,
    min_score: float = 0.0,
    min_proposals: int = 10**6,
    smooth_l1_beta: float = 1.0,
    weight_3d: float = 1.0,
) -> LCROutputLayers:
    torch.manual_seed(0)
    out = LCROutputLayers(
        ShapeSpec(channels=WIDTH),
        num_anchor_poses=4,
        num_joints=13,
        upper_body=True,
        pose_transform=PoseTransform(5.0),
        smooth_l1_beta=smooth_l1_beta,
        weight_3d=weight_3d,
        batch_size_per_image=10,
        min_score=min_score,
        min_proposals=min_proposals,
    )
    if anchors is not None:
        out.set_anchor_poses(anchors)
    return out


def sampled(classes: list[int], anchors: AnchorPoses, num_images: int = 1) -> SampledBoxes:
    """People first, then background; a box on a person holds exactly its anchor pose, so every target is 0."""
    boxes = torch.tensor([[10.0, 10.0, 60.0, 90.0]]).expand(len(classes), 4)
    of_people = torch.tensor([c for c in classes if c < CLASSES], dtype=torch.long)
    placed = anchors.place(boxes[: len(of_people)])[torch.arange(len(of_people)), of_people]
    truth = {
        "gt_keypoints": torch.cat([placed, torch.full((len(of_people), 13, 1), 2.0)], -1),
        "gt_poses_3d": anchors.poses_3d[of_people],
    }
    images = torch.zeros(len(classes), dtype=torch.long)
    return SampledBoxes(boxes, images, torch.tensor(classes, dtype=torch.long), truth, num_images)


def test_losses_by_hand(anchors: AnchorPoses) -> None:
    """Zero weights: every class has log-probability -log 9, every delta is 0 and right."""
    out = layers(anchors)
    for p in out.parameters():
        torch.nn.init.zeros_(p)
    boxes = sampled([0, 5, CLASSES, CLASSES], anchors, num_images=2)
    with EventStorage():
        losses = out.losses(out(torch.randn(4, WIDTH)), boxes)
    # 4 boxes, divided by the 2 images x 10 boxes the config asks for.
    assert losses["loss_pose_cls"].item() == pytest.approx(4 * math.log(9) / 20)
    assert losses["loss_pose_reg"].item() == pytest.approx(0, abs=1e-9)
    torch.nn.init.constant_(out.pose_pred.bias, 0.5)  # now every delta is 0.5 off: 0.5 * 0.5^2 each
    with EventStorage():
        losses = out.losses(out(torch.randn(4, WIDTH)), boxes)
    assert losses["loss_pose_reg"].item() == pytest.approx(2 * 13 * 5 * 0.125 / 20, rel=1e-4)


def test_a_smaller_beta_makes_the_loss_linear_and_3d_has_its_own_weight(anchors: AnchorPoses) -> None:
    out = layers(anchors, smooth_l1_beta=0.1, weight_3d=0.25)
    torch.nn.init.constant_(out.pose_pred.bias, 0.5)
    with EventStorage():
        losses = out.losses(out(torch.zeros(1, WIDTH)), sampled([3], anchors))
    # Of 13 joints, 2 coordinates in full and 3 for a quarter, each |0.5| - 0.1 / 2 off; 1 image x 10 boxes.
    assert losses["loss_pose_reg"].item() == pytest.approx(13 * (2 + 3 * 0.25) * 0.45 / 10, rel=1e-4)


def test_uncertain_3d_counts_less_and_2d_in_full(anchors: AnchorPoses) -> None:
    """Every delta is 0.5 off, 0.125 of loss: 2 x 13 of 2D, and of the first person's 3D a fifth, the second's all."""
    out = layers(anchors)
    torch.nn.init.constant_(out.pose_pred.bias, 0.5)
    boxes = sampled([0, 3, CLASSES], anchors, num_images=2)
    boxes.truth["gt_pose_3d_weights"] = torch.tensor([0.2, 1.0])[:, None, None].expand(2, 13, 3)
    with EventStorage():
        losses = out.losses(out(torch.zeros(3, WIDTH)), boxes)
    expected = 13 * (2 + 3 * 0.2 + 2 + 3) * 0.125 / 20
    assert losses["loss_pose_reg"].item() == pytest.approx(expected, rel=1e-4)


def test_only_the_boxs_own_class_is_regressed(anchors: AnchorPoses) -> None:
    out = layers(anchors)
    with EventStorage():
        out.losses(out(torch.randn(2, WIDTH)), sampled([3, CLASSES], anchors))["loss_pose_reg"].backward()
    touched = out.pose_pred.weight.grad.view(CLASSES, 65, WIDTH).abs().sum((1, 2)) > 0
    assert touched.tolist() == [c == 3 for c in range(CLASSES)]


@pytest.mark.parametrize("on_gpu", [False, True])
def test_the_gradient_equals_that_of_regressing_every_class(
    on_gpu: bool, anchors: AnchorPoses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow twin computes all classes of every box and keeps the box's own."""
    if on_gpu:
        as_on_a_gpu(monkeypatch)
    out, classes = layers(anchors), [3, 0, 3, 7]
    torch.nn.init.normal_(out.pose_pred.weight, std=0.3)
    features = torch.randn(4, WIDTH, requires_grad=True)
    with EventStorage():
        mine = out.losses(out(features), sampled(classes, anchors))["loss_pose_reg"]
    every_class = out.pose_pred(features).view(4, CLASSES, 13, 5)
    twin = F.smooth_l1_loss(every_class[range(4), classes], torch.zeros(4, 13, 5), reduction="sum") / 10
    wanted = [features, out.pose_pred.weight, out.pose_pred.bias]
    torch.testing.assert_close(mine, twin)
    torch.testing.assert_close(torch.autograd.grad(mine, wanted), torch.autograd.grad(twin, wanted))


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("classes", [[], [CLASSES, CLASSES]], ids=["no boxes", "background alone"])
def test_losses_without_people_have_the_same_keys_and_gradients(
    classes: list[int], on_gpu: bool, anchors: AnchorPoses, monkeypatch: pytest.MonkeyPatch
) -> None:
    if on_gpu:
        as_on_a_gpu(monkeypatch)
    out = layers(anchors)
    with EventStorage():
        losses = out.losses(out(torch.randn(len(classes), WIDTH)), sampled(classes, anchors))
    assert set(losses) == {"loss_pose_cls", "loss_pose_reg"}
    sum(losses.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in out.parameters())
    assert losses["loss_pose_reg"].item() == 0


def test_decoding_what_survives_equals_decoding_everything(anchors: AnchorPoses) -> None:
    out = layers(anchors, min_score=0.13, min_proposals=5)
    torch.nn.init.normal_(out.pose_pred.weight, std=0.3)
    torch.nn.init.normal_(out.cls_score.weight, std=0.5)
    boxes = [torch.tensor([[0.0, 0.0, 50.0, 80.0], [20.0, 10.0, 90.0, 90.0]]), torch.tensor([[5.0, 5.0, 30.0, 40.0]])]
    x = torch.randn(3, WIDTH)
    proposals = out.inference(out(x), boxes)
    probabilities = F.softmax(out.cls_score(x), 1)[:, :-1]
    dense = out.pose_pred(x).view(3, CLASSES, 13, 5)
    for first, image_boxes, found in zip((0, 2), boxes, proposals, strict=True):
        assert len(found.scores) >= 5
        for p in range(len(found.scores)):
            row, c = first + int(found.boxes[p]), int(found.classes[p])
            delta = dense[row, c][None]
            box = image_boxes[found.boxes[p]][None]
            expected = out.pose_transform.apply_deltas(box, anchors.poses_2d[[c]], anchors.poses_3d[[c]], delta)
            torch.testing.assert_close(found.poses_2d[[p]], expected[0], atol=1e-4, rtol=0)
            torch.testing.assert_close(found.poses_3d[[p]], expected[1], atol=1e-5, rtol=0)
            assert found.scores[p].item() == pytest.approx(probabilities[row, c].item(), abs=1e-6)
            assert found.confidences[p].item() == pytest.approx(probabilities[row].sum().item(), abs=1e-6)


def test_selection_keeps_all_good_pairs_and_at_least_so_many() -> None:
    p = torch.tensor([[0.5, 0.1, 0.0], [0.2, 0.3, 0.05]])
    scores, boxes, classes, _ = select_pose_proposals(p, min_score=0.2, min_count=1)
    assert list(zip(boxes.tolist(), classes.tolist(), strict=True)) == [(0, 0), (1, 0), (1, 1)]
    assert scores.tolist() == pytest.approx([0.5, 0.2, 0.3])
    assert len(select_pose_proposals(p, 0.2, 5)[0]) == 5
    assert len(select_pose_proposals(p, 0.2, 500)[0]) == 6
    assert len(select_pose_proposals(p[:0], 0.2, 500)[0]) == 0


def test_each_image_of_a_batch_has_its_own_selection() -> None:
    torch.manual_seed(0)
    probabilities, regions = torch.rand(9, 4), [3, 0, 2, 4]
    *together, counts = select_pose_proposals(probabilities, 0.8, 3, regions)
    parts = [select_pose_proposals(part, 0.8, 3) for part in probabilities.split(regions)]
    assert counts == [len(scores) for scores, *_ in parts] and counts[1] == 0 and min(counts[0], counts[2]) >= 3
    firsts = torch.tensor([0, 3, 3, 5])
    scores, boxes, classes = (torch.cat(field) for field in zip(*(part[:3] for part in parts), strict=True))
    assert torch.equal(together[0], scores) and torch.equal(together[2], classes)
    assert torch.equal(together[1], boxes + firsts.repeat_interleave(torch.tensor(counts)))


@given(
    rows=st.lists(st.lists(st.integers(0, 8), min_size=3, max_size=3), max_size=5),
    min_score=st.integers(0, 9),
    min_count=st.integers(0, 20),
)
def test_selection_equals_sorting_all_pairs(rows: list[list[int]], min_score: int, min_count: int) -> None:
    """Eighths, with many ties: which of equals fill up the count is open, how many of each score is not."""
    p = torch.tensor(rows, dtype=torch.float32).view(-1, 3) / 8
    scores, boxes, classes, _ = select_pose_proposals(p, min_score / 8, min_count)
    best_first = sorted(p.flatten().tolist(), reverse=True)
    good = sum(score >= min_score / 8 for score in best_first)
    assert sorted(scores.tolist(), reverse=True) == best_first[: max(good, min_count)]
    assert scores.tolist() == p[boxes, classes].tolist()
    pairs = list(zip(boxes.tolist(), classes.tolist(), strict=True))
    assert pairs == sorted(set(pairs))


def test_the_model_knows_when_it_has_no_anchor_poses(anchors: AnchorPoses) -> None:
    with pytest.raises(RuntimeError, match="no anchor poses"):
        layers(None).check_anchor_poses()
    layers(anchors).check_anchor_poses(anchors)


def test_other_anchor_poses_are_an_error(anchors: AnchorPoses, full_body_anchors: AnchorPoses) -> None:
    out = layers(anchors)
    with pytest.raises(ValueError, match="do not fit"):
        out.set_anchor_poses(full_body_anchors)
    out.anchor_poses_3d += 0.01
    with pytest.raises(ValueError, match="not those of"):
        out.check_anchor_poses(anchors)


def test_nan_takes_no_real_pairs_place() -> None:
    probabilities = torch.tensor([[math.nan, 0.3], [0.6, math.nan]])
    scores, boxes, classes, _ = select_pose_proposals(probabilities, 0.5, 2)
    assert scores.tolist() == pytest.approx([0.3, 0.6]) and boxes.tolist() == [0, 1] and classes.tolist() == [1, 0]
