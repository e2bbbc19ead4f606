from __future__ import annotations

import math

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torch import Tensor

from lcrnet_d2.config import load_config
from lcrnet_d2.modeling.joint_heat_maps import JointHead, JointMap, JointMaps, JointTargets, joint_losses, joint_targets
from lcrnet_d2.structures import CROWD, PERSON, UNANNOTATED

SIZE = (24, 32)  # cells: 96 x 128 px


def rows(*people: tuple[int, int, list[float], list[list[float]]]) -> Instances:
    """Each: kind, class, box (px), joints (x, y, v)."""
    out = Instances((96, 128))
    out.gt_kinds = torch.tensor([person[0] for person in people])
    out.gt_classes = torch.tensor([person[1] for person in people])
    out.gt_boxes = Boxes(torch.tensor([person[2] for person in people]).view(-1, 4))
    out.gt_keypoints = torch.tensor([person[3] for person in people]).view(-1, 2, 3)
    return out


def person(*joints: list[float]) -> tuple[int, int, list[float], list[list[float]]]:
    return PERSON, 3, [10.0, 10, 90, 90], list(joints)


def nobody() -> Instances:
    return rows()


def test_a_joint_seen_is_a_peak_in_its_cell() -> None:
    """(41, 23) lies in column 10, row 5; neighbours at exp(-1 / (2 sd^2)) of a deviation of 0.7 to 1.5 cells."""
    targets = joint_targets([rows(person([41, 23, 2], [81, 83, 2]))], SIZE)
    heat = targets.heat[0, 0]
    assert heat[5, 10] == 1 and (heat == 1).sum() == 1
    assert math.exp(-1 / (2 * 0.7**2)) <= heat[5, 11] <= math.exp(-1 / (2 * 1.5**2))
    assert heat[4, 10] == heat[6, 10] == heat[5, 9] == heat[5, 11]
    assert targets.heat[0, 1, 20, 20] == 1
    assert (targets.weights == 1).all()


def test_hidden_and_completed_joints_are_neither_peak_nor_background() -> None:
    for v in (0, 1):
        targets = joint_targets([rows(person([41, 23, v], [81, 83, 2]))], SIZE)
        assert (targets.heat[0, 0] == 0).all()
        assert targets.weights[0, 0, 5, 10] == targets.weights[0, 0, 5, 12] == 0
        assert targets.weights[0, 0, 20, 30] == 1
        assert (targets.weights[0, 1] == 1).all()


def test_a_peak_counts_though_another_persons_joint_is_hidden_beside_it() -> None:
    hidden, seen = person([41, 23, 1], [81, 83, 2]), person([43, 26, 2], [81, 83, 2])
    targets = joint_targets([rows(hidden, seen)], SIZE)
    assert targets.heat[0, 0, 6, 10] == targets.weights[0, 0, 6, 10] == 1
    assert targets.weights[0, 0, 5, 10] == 0


def test_rows_of_one_person_repeat_its_joints_harmlessly() -> None:
    once, twice = (joint_targets([rows(*n * [person([41, 23, 2], [81, 83, 1])])], SIZE) for n in (1, 2))
    assert once.heat.equal(twice.heat) and once.weights.equal(twice.weights)
    maps = JointMaps(torch.randn(1, 2, *SIZE), torch.randn(1, 2, 2, *SIZE))
    torch.testing.assert_close(joint_losses(maps, once), joint_losses(maps, twice))


@pytest.mark.parametrize(("kind", "masked"), [(PERSON, True), (CROWD, True)])
def test_crowds_and_people_without_known_joints_are_masked(kind: int, masked: bool) -> None:
    """Cells whose centre lies in the box of 40 to 80 px in x, 20 to 60 in y: columns 10 to 19, rows 5 to 14."""
    unknown = (kind, -1, [40.0, 20, 80, 60], [[0.0, 0, 0]] * 2)
    weights = joint_targets([rows(unknown)], SIZE).weights
    expected = torch.ones(SIZE)
    expected[5:15, 10:20] = 0
    assert weights[0, 0].equal(expected) and weights[0, 1].equal(expected)


def test_where_not_everyone_is_annotated_only_the_annotated_peoples_boxes_teach() -> None:
    everywhere = (UNANNOTATED, -1, [0.0, 0, 128, 96], [[0.0, 0, 0]] * 2)
    weights = joint_targets([rows(person([41, 23, 2], [81, 83, 2]), everywhere)], SIZE).weights[0, 0]
    assert weights[3:22, 3:22].all() and not weights[:, 23:].any() and not weights[0].any()
    # A tile of a mosaic that is not all annotated says nothing of the others.
    tile = (UNANNOTATED, -1, [0.0, 0, 64, 96], [[0.0, 0, 0]] * 2)
    weights = joint_targets([rows(tile)], SIZE).weights[0, 0]
    assert not weights[:, :16].any() and weights[:, 16:].all()


def test_images_of_a_batch_are_kept_apart_and_joints_outside_have_no_cell() -> None:
    outside = rows(person([-3, 23, 2], [81, 2000, 2]))
    targets = joint_targets([nobody(), rows(person([41, 23, 2], [81, 83, 2])), outside], SIZE)
    assert (targets.heat == 1).flatten(1).sum(1).tolist() == [0, 2, 0]
    assert targets.heat[0].sum() == 0 and targets.images.tolist() == [1, 2]


def slow_losses(maps: JointMaps, targets: JointTargets) -> tuple[float, float]:
    """CenterNet's Eq. 1, cell by cell, and the distances to each joint seen in the nine cells around."""
    p, total = maps.heat.double().sigmoid(), 0.0
    peaks = max(1, int((targets.heat == 1).sum()))
    for index in torch.cartesian_prod(*(torch.arange(side) for side in p.shape)).tolist():
        q, y, weight = (float(t[tuple(index)]) for t in (p, targets.heat, targets.weights))
        total -= weight * ((1 - q) ** 2 * math.log(q) if y == 1 else (1 - y) ** 4 * q**2 * math.log(1 - q))
    distances = []
    for row, image in enumerate(targets.images.tolist()):
        for joint in range(p.shape[1]):
            x, y = targets.places[row, joint].tolist()
            for cx in range(math.floor(x) - 1, math.floor(x) + 2):
                for cy in range(math.floor(y) - 1, math.floor(y) + 2):
                    if targets.seen[row, joint] and 0 <= cx < p.shape[3] and 0 <= cy < p.shape[2]:
                        dx, dy = maps.offsets[image, joint, :, cy, cx].tolist()
                        distances.append(abs(cx + dx - x) + abs(cy + dy - y))
    return total / peaks, sum(distances) / max(1, len(distances))


def test_losses_as_a_slow_twin_has_them() -> None:
    torch.manual_seed(0)
    crowd = (CROWD, -1, [0.0, 0, 20, 20], [[0.0, 0, 0]] * 2)
    batch = [rows(person([1, 23, 2], [81, 83, 1]), person([60, 30, 2], [50, 83, 2]), crowd), nobody()]
    targets = joint_targets(batch, SIZE)
    maps = JointMaps(torch.randn(2, 2, *SIZE), torch.randn(2, 2, 2, *SIZE))
    heat, offset = joint_losses(maps, targets)
    assert (float(heat), float(offset)) == pytest.approx(slow_losses(maps, targets), rel=1e-5)


def test_perfect_maps_cost_nothing_and_nobody_at_all_has_gradients() -> None:
    targets = joint_targets([rows(person([41, 23, 2], [81, 83, 2]))], SIZE)
    offsets = torch.zeros(1, 2, 2, *SIZE)
    y, x = torch.meshgrid(*(torch.arange(side) for side in SIZE), indexing="ij")
    for joint, (px, py) in enumerate(targets.places[0]):
        offsets[0, joint] = torch.stack([px - x, py - y])
    logits = torch.where(targets.heat == 1, 20.0, -20.0)
    assert max(joint_losses(JointMaps(logits, offsets), targets)) < 1e-4
    logits, offsets = logits.requires_grad_(), offsets.requires_grad_()
    heat, offset = joint_losses(JointMaps(logits, offsets), joint_targets([nobody()], SIZE))
    (heat + offset).backward()
    assert offset == 0 and logits.grad is not None and offsets.grad is not None and logits.grad.isfinite().all()


def test_joint_map_is_four_times_finer_than_stride_16() -> None:
    sizes = {32: (2, 3), 16: (4, 6), 8: (8, 12), 4: (16, 24)}
    joint_map = JointMap([5, 6, 7, 8])
    features = [torch.randn(1, channels, *size) for channels, size in zip((5, 6, 7, 8), sizes.values(), strict=True)]
    assert joint_map(features).shape == (1, joint_map.channels, 16, 24)


def test_upsampling_is_bilinear() -> None:
    """One cell of stride 32 alone: nearest upsampling would give blocks, whose neighbours are equal."""
    joint_map = JointMap([1, 1, 1, 1])
    features = [torch.zeros(1, 1, side, side) for side in (4, 8, 16, 32)]
    features[0][0, 0, 2, 2] = 1
    seen: list[Tensor] = []
    joint_map.merges[0].register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    joint_map(features)
    channel = seen[0][0, 0] - seen[0][0, 0, 0, 0]
    weights = channel[4] / channel[4, 4]
    torch.testing.assert_close(weights[2:7], torch.tensor([0, 1 / 3, 1, 1, 1 / 3]), atol=1e-4, rtol=1e-3)


def head_cfg(*opts: object) -> CfgNode:
    cfg = load_config("Base-LCRNet-R50-FPN.yaml")
    cfg.merge_from_list(["MODEL.LCRNET.JOINT_REFINEMENT.ENABLED", True, *opts])
    return cfg


def test_head_takes_any_map_of_stride_4_and_no_other() -> None:
    shapes = {"p2": ShapeSpec(channels=6, stride=4), "p3": ShapeSpec(channels=6, stride=8)}
    node = "MODEL.LCRNET.JOINT_REFINEMENT."
    head = JointHead(head_cfg(node + "IN_FEATURE", "p2", node + "CONV_DIMS", [8, 8]), shapes)
    maps = head({"p2": torch.randn(2, 6, *SIZE)})
    assert maps.heat.shape == (2, 13, *SIZE) and maps.offsets.shape == (2, 13, 2, *SIZE)
    assert maps.heat.sigmoid().mean() < 0.05  # nearly nothing is seen before training
    for name in ("p3", "joint_map"):
        with pytest.raises(ValueError, match=rf"IN_FEATURE is '{name}'.*stride 4; the backbone has \['p2'\]"):
            JointHead(head_cfg(node + "IN_FEATURE", name), shapes)


def test_a_resnet_with_fpn_has_the_head_on_its_finest_level() -> None:
    node = "MODEL.LCRNET.JOINT_REFINEMENT."
    small = ["MODEL.DEVICE", "cpu", "MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.RES2_OUT_CHANNELS", 64]
    small += ["MODEL.FPN.OUT_CHANNELS", 8, "MODEL.ROI_BOX_HEAD.FC_DIM", 8, "MODEL.LCRNET.NUM_ANCHOR_POSES", 2]
    model = build_model(head_cfg(node + "IN_FEATURE", "p2", node + "CONV_DIMS", [8], *small))
    maps = model.roi_heads.joint_maps(model.backbone(torch.zeros(1, 3, 64, 96)))
    assert maps.heat.shape == (1, 13, 16, 24)
