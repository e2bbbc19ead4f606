from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes, Instances, pairwise_iou
from detectron2.utils.events import EventStorage
from torch import Tensor, nn

from lcrnet_d2.config import load_config
from lcrnet_d2.data import PoseTargets, TilePeople
from lcrnet_d2.modeling.labelling import SampledBoxes
from lcrnet_d2.modeling.roi_heads import pool
from lcrnet_d2.structures import PERSON, UNANNOTATED, AnchorPoses
from tests_support import random_poses, seen_at

OPTS = ["MODEL.LCRNET.NUM_ANCHOR_POSES", 4, "MODEL.LCRNET.UPPER_BODY", True, "MODEL.FPN.OUT_CHANNELS", 16]
OPTS += ["MODEL.ROI_BOX_HEAD.FC_DIM", 32, "MODEL.DEVICE", "cpu"]


@pytest.fixture(scope="module")
def model(anchors: AnchorPoses) -> nn.Module:
    torch.manual_seed(0)
    cfg = load_config("Base-LCRNet-Lite0-FPN.yaml", OPTS)
    model = build_model(cfg)
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    return model


def example(anchors: AnchorPoses, kinds: str) -> dict[str, Tensor | Instances | int]:
    """A 96 x 128 image; p: a person, x: a person without 3D, c: a crowd, u: not everyone is annotated."""
    poses = random_poses(kinds.count("p"), seed=3)
    points = seen_at(poses, 40, 48, 45)
    keypoints = torch.cat([points, torch.full((len(points), 13, 1), 2.0)], -1)
    box = torch.tensor([[70.0, 10.0, 120.0, 90.0]])
    people = TilePeople(
        keypoints,
        poses,
        torch.zeros_like(poses),
        box[: kinds.count("x")],
        box[: kinds.count("c")],
        (96, 128),
        "u" in kinds,
    )
    rows = PoseTargets(anchors)([people])
    image = torch.randint(0, 255, (3, 96, 128), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return {"image": image, "instances": rows, "height": 96, "width": 128}


@pytest.mark.parametrize("batch", [["p"], [""], ["x"], ["c"], ["u"], ["", ""], ["p", ""], ["ppxcu", "c"]], ids=str)
def test_every_batch_trains_with_the_same_losses(batch: list[str], model: nn.Module, anchors: AnchorPoses) -> None:
    model.train().zero_grad()
    with EventStorage():
        losses = model([example(anchors, kinds) for kinds in batch])
    assert set(losses) == {"loss_pose_cls", "loss_pose_reg", "loss_rpn_cls", "loss_rpn_loc"}
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    head = model.roi_heads.box_predictor
    assert head.cls_score.weight.grad is not None and head.pose_pred.weight.grad is not None


@pytest.fixture(scope="module")
def model_with_heat_maps(anchors: AnchorPoses) -> nn.Module:
    torch.manual_seed(0)
    model = build_model(load_config("Base-LCRNet-MobileNetV2-FPN.yaml", OPTS))
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    return model


@pytest.mark.parametrize("batch", [["p"], [""], ["x"], ["u"], ["ppxcu", "c", ""]], ids=str)
def test_every_batch_trains_the_heat_maps_too(
    batch: list[str], model_with_heat_maps: nn.Module, anchors: AnchorPoses
) -> None:
    model = model_with_heat_maps
    model.train().zero_grad()
    with EventStorage():
        losses = model([example(anchors, kinds) for kinds in batch])
    assert {name for name in losses if "joint" in name} == {"loss_joint_heat", "loss_joint_offset"}
    sum(losses.values()).backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without and all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_heat_maps_move_2d_joints_and_score_people_and_nothing_else(
    model_with_heat_maps: nn.Module, anchors: AnchorPoses
) -> None:
    model = model_with_heat_maps.eval()
    heads, image = model.roi_heads, [example(anchors, "p")]
    with torch.no_grad():
        nn.init.constant_(heads.joint_head.heat.predict.bias, 0.0)  # everywhere evidence
        refined = model(image)[0]["instances"]
        heads.joint_head, head = None, heads.joint_head
        plain = model(image)[0]["instances"]
        heads.joint_head = head
    assert len(plain) > 0 and not refined.pred_keypoints.equal(plain.pred_keypoints)
    assert refined.pred_poses_3d.equal(plain.pred_poses_3d)
    assert refined.pred_integrated_scores.equal(plain.scores) and not refined.scores.equal(plain.scores)
    size = torch.tensor([128.0, 96.0])
    torch.testing.assert_close(refined.pred_integrated_keypoints * size, plain.pred_keypoints[..., :2])
    assert not plain.has("pred_integrated_keypoints")


def sample(model: nn.Module, proposals: Tensor, target: Instances) -> SampledBoxes:
    """Labels and samples these proposals alone, without the ground truth among them."""
    heads = model.roi_heads
    image = Instances(target.image_size)
    image.proposal_boxes = Boxes(proposals)
    appended, heads.proposal_append_gt = heads.proposal_append_gt, False
    with EventStorage():
        out = heads.label_and_sample([image], [target])
    heads.proposal_append_gt = appended
    return out


def test_regions_that_must_not_be_learnt_from_are_never_sampled(model: nn.Module, anchors: AnchorPoses) -> None:
    background = model.roi_heads.num_classes
    on_crowd, elsewhere = [72.0, 12.0, 110.0, 80.0], [0.0, 0.0, 20.0, 20.0]
    crowd = sample(model, torch.tensor([on_crowd, elsewhere]), example(anchors, "c")["instances"])
    assert crowd.boxes.tolist() == [elsewhere] and crowd.classes.tolist() == [background]
    nobody = sample(model, torch.tensor([on_crowd, elsewhere]), example(anchors, "")["instances"])
    assert sorted(nobody.classes.tolist()) == [background, background]


def test_a_person_without_3d_is_neither_person_nor_background_to_the_head(
    model: nn.Module, anchors: AnchorPoses
) -> None:
    on_person = [70.0, 10.0, 120.0, 90.0]
    out = sample(model, torch.tensor([on_person, [0.0, 0.0, 20.0, 20.0]]), example(anchors, "x")["instances"])
    assert out.boxes.tolist() == [[0.0, 0.0, 20.0, 20.0]]


def test_a_partly_annotated_image_teaches_background_only_within_its_people(
    model: nn.Module, anchors: AnchorPoses
) -> None:
    target = example(anchors, "pu")["instances"]
    person_box = target.gt_boxes.tensor[0]
    x1, y1 = person_box[0].item() + 1, person_box[1].item() + 1
    inside, outside = [x1, y1, x1 + 8, y1 + 8], [100.0, 5.0, 120.0, 25.0]
    out = sample(model, torch.tensor([inside, outside]), target)
    assert out.boxes.tolist() == [inside]
    assert out.classes.tolist() == [model.roi_heads.num_classes]


def test_the_whole_image_row_matches_nothing(model: nn.Module, anchors: AnchorPoses) -> None:
    target = example(anchors, "u")["instances"]
    assert target.gt_kinds.tolist() == [UNANNOTATED]
    assert len(sample(model, torch.tensor([[0.0, 0.0, 128.0, 96.0]]), target).boxes) == 0


def test_boxes_are_labelled_by_the_row_they_overlap_most(model: nn.Module, anchors: AnchorPoses) -> None:
    target = example(anchors, "p")["instances"]
    assert target.gt_kinds.tolist() == [PERSON, PERSON]  # full body first, then upper body
    out = sample(model, target.gt_boxes.tensor.clone(), target)
    by_box = {tuple(b): c for b, c in zip(out.boxes.tolist(), out.classes.tolist(), strict=True)}
    for box, label in zip(target.gt_boxes.tensor.tolist(), target.gt_classes.tolist(), strict=True):
        assert by_box[tuple(box)] == label
    assert target.gt_classes[1] == target.gt_classes[0] + 4  # class K + k shares k's 3D


def test_people_come_out_in_pixels_of_the_original_image(model: nn.Module, anchors: AnchorPoses) -> None:
    """The same image asked for at twice the size: everything 2D doubles, 3D stays."""
    model.eval()
    inputs = example(anchors, "p")
    with torch.no_grad():
        once = model([inputs])[0]["instances"]
        twice = model([inputs | {"height": 192, "width": 256}])[0]["instances"]
    assert len(once) > 0
    torch.testing.assert_close(twice.pred_keypoints[..., :2], 2 * once.pred_keypoints[..., :2])
    torch.testing.assert_close(twice.pred_poses_3d, once.pred_poses_3d)
    torch.testing.assert_close(twice.pred_seed_keypoints, once.pred_seed_keypoints)
    torso = once.pred_poses_3d[:, model.roi_heads.skeleton.torso].mean(1)
    assert torso.abs().max() < 1e-5  # body-centred
    assert (once.pred_classes == 0).all()
    assert ((once.pred_confidences >= 0) & (once.pred_confidences <= 1)).all()


def test_batches_give_what_single_images_give(model: nn.Module, anchors: AnchorPoses) -> None:
    model.eval()
    a, b = example(anchors, "p"), example(anchors, "p")
    b["image"] = torch.flip(b["image"], [2])
    with torch.no_grad():
        together = model([a, b])
        alone = [model([x])[0] for x in (a, b)]
    for x, y in zip(together, alone, strict=True):
        torch.testing.assert_close(x["instances"].pred_keypoints, y["instances"].pred_keypoints, rtol=1e-4, atol=1e-2)


def test_nms_can_be_chosen(anchors: AnchorPoses) -> None:
    cfg = load_config("Base-LCRNet-Lite0-FPN.yaml", [*OPTS, "MODEL.LCRNET.INTEGRATION.METHOD", "nms"])
    model = build_model(cfg).eval()
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    with torch.no_grad():
        people = model([example(anchors, "p")])[0]["instances"]
    torch.testing.assert_close(people.scores, people.pred_seed_scores)
    assert people.pred_spreads_3d.max() == 0
    with pytest.raises(ValueError, match="METHOD"):
        build_model(load_config("Base-LCRNet-Lite0-FPN.yaml", [*OPTS, "MODEL.LCRNET.INTEGRATION.METHOD", "soft"]))


@pytest.mark.parametrize("levels", [1, 3])
def test_pooling_equals_detectron2s(levels: int) -> None:
    pooler = ROIPooler(7, [1 / 8, 1 / 16, 1 / 32][:levels], 2, "ROIAlignV2")
    maps = [torch.randn(2, 4, 32 // 2**level, 32 // 2**level, requires_grad=True) for level in range(levels)]
    corners = 100 * torch.rand(9, 2)
    boxes = torch.cat([corners, corners + torch.linspace(1, 600, 9)[:, None]], 1)
    images = torch.tensor([1, 0, 1, 1, 0, 0, 1, 0, 1])
    mine = pool(pooler, maps, boxes, images)
    theirs = pooler(maps, [Boxes(boxes[images == 0]), Boxes(boxes[images == 1])])
    order = images.argsort(stable=True)
    torch.testing.assert_close(mine[order], theirs)
    weights = torch.rand(9, 4, 7, 7)
    gradients = (torch.autograd.grad((w * p).sum(), maps) for w, p in ((weights, mine), (weights[order], theirs)))
    torch.testing.assert_close(*gradients)
    assert pool(pooler, maps, boxes[:0], images[:0]).shape == (0, 4, 7, 7)


def test_of_a_batch_as_many_boxes_are_sampled_as_the_config_asks_for(model: nn.Module, anchors: AnchorPoses) -> None:
    """Three images: two people's rows, nobody, and one whose every box is ignored."""
    targets = [example(anchors, kinds)["instances"] for kinds in ("p", "", "u")]
    proposals = []
    for i, image in enumerate(targets):
        corners = 60 * torch.rand(100 + i, 2)
        boxes = torch.cat([corners, corners + 5 + 30 * torch.rand(100 + i, 2)], 1)
        proposals.append(Instances(image.image_size, proposal_boxes=Boxes(boxes)))
    with EventStorage() as storage:
        out = model.roi_heads.label_and_sample(proposals, targets)
    count = model.roi_heads.batch_size_per_image
    assert torch.bincount(out.images, minlength=3).tolist() == [count, count, 0] and out.num_images == 3
    people = len(out.truth["gt_poses_3d"])
    assert people == int((out.classes < model.roi_heads.num_classes).sum()) >= 2  # the rows themselves among them
    assert (out.classes[people:] == model.roi_heads.num_classes).all()
    for box, label, pose in zip(out.boxes[:people], out.classes[:people], out.truth["gt_poses_3d"], strict=True):
        overlaps = pairwise_iou(Boxes(box[None]), targets[0].gt_boxes)[0]
        best = int(overlaps.argmax())
        assert overlaps[best] >= 0.5 and label == targets[0].gt_classes[best]
        assert torch.equal(pose, targets[0].gt_poses_3d[best])
    assert storage.latest()["roi_head/num_fg_samples"][0] == people / 3
