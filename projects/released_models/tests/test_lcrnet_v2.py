"""The converted model against the network of the file, computed by hand in the file's own conventions."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes
from torch import Tensor, nn

from lcrnet_d2.structures import BODY13
from released_models.lcrnet_v2 import convert_lcrnet_v2, read_lcrnet_v2
from released_models_support import J, K, ReleasedNetwork, built, lcrnet_v2_file, near

#: Height and width, padded to 96 x 128 with FPN, and of the image before it was resized.
SIZE, ORIGINAL = (90, 125), (180, 250)


@pytest.fixture(scope="module", params=[True, False], ids=["FPN", "C4"])
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, ReleasedNetwork, Tensor]:
    content = lcrnet_v2_file(request.param)
    image = torch.randint(0, 256, (3, *SIZE), generator=torch.Generator().manual_seed(1)).float()
    return built(convert_lcrnet_v2(content)), ReleasedNetwork(content), image


@torch.no_grad()
def test_layer_by_layer(pair: tuple[nn.Module, ReleasedNetwork, Tensor]) -> None:
    """Each layer on our own previous ones, so that an error is found where it is."""
    model, network, image = pair
    images = model.preprocess_image([{"image": image}])
    near(images.tensor, network.padded(image), 1e-4)

    features = model.backbone(images.tensor)
    expected = network.features(images.tensor)
    for ours, (theirs, _) in zip(features.values(), expected, strict=True):
        near(ours, theirs, 1e-4)

    proposals = model.proposal_generator(images, features)[0][0]
    boxes = proposals.proposal_boxes.tensor
    released_boxes = network.proposals(expected, *images.tensor.shape[2:])
    assert len(boxes) == len(released_boxes) > 20
    near(boxes - torch.tensor([0, 0, 1, 1]), released_boxes, 1e-3)

    heads = model.roi_heads
    pooled = heads.box_pooler([features[name] for name in heads.in_features], [Boxes(boxes)])
    released_pooled = network.pooled(expected, released_boxes)
    near(pooled, released_pooled, 1e-3)

    hidden = heads.box_head(pooled)
    released_hidden = network.hidden(released_pooled)
    near(hidden, released_hidden, 1e-3)

    logits, regression_features = heads.box_predictor(hidden)
    scores, poses_2d, poses_3d = network.poses(released_hidden, released_boxes)
    near(logits.softmax(1), np.concatenate([scores[:, 1:], scores[:, :1]], 1), 1e-3)

    (found,) = heads.box_predictor.inference((logits, regression_features), [boxes])
    assert len(found.scores) == len(boxes) * 2 * K  # all of them: fewer than 500
    pairs = found.boxes.numpy(), found.classes.numpy()
    near(found.scores, scores[:, 1:][pairs], 1e-3)
    near(found.poses_2d, poses_2d[pairs], 2e-2)
    near(found.poses_3d, poses_3d[pairs], 1e-3)


@torch.no_grad()
def test_anchor_poses_and_classes(pair: tuple[nn.Module, ReleasedNetwork, Tensor]) -> None:
    model, network, _ = pair
    outputs = model.roi_heads.box_predictor
    assert outputs.num_anchor_poses == K and outputs.num_classes == 2 * K
    table = network.anchors.reshape(2 * K, 5, J)  # x, y, X, Y, Z of all joints
    np.testing.assert_array_equal(outputs.anchor_poses_2d[4, 7], table[4, :2, 7])
    np.testing.assert_array_equal(outputs.anchor_poses_3d[4, 7], table[4, 2:, 7])


@torch.no_grad()
def test_people_are_those_of_the_released_rules(pair: tuple[nn.Module, ReleasedNetwork, Tensor]) -> None:
    """The whole model against the network by hand, followed by integration in plain numpy, in the original's pixels."""
    run_onnx = pytest.importorskip("run_onnx", reason="pip install onnx onnxruntime")
    model, network, image = pair
    height, width = ORIGINAL
    people = model([{"image": image, "height": height, "width": width}])[0]["instances"]

    pixels = network.padded(image)
    features = network.features(pixels)
    boxes = network.proposals(features, *pixels.shape[2:])
    scores, poses_2d, poses_3d = network.poses(network.hidden(network.pooled(features, boxes)), boxes)
    centred = poses_3d - poses_3d[:, :, BODY13.torso].mean(2, keepdims=True)
    proposals = {
        "scores": scores[:, 1:].flatten(),
        "poses_2d": 2 * poses_2d.reshape(-1, J, 2),
        "poses_3d": centred.reshape(-1, J, 3),
    }
    expected = run_onnx.integrate(
        proposals, np.arange(len(boxes) * 2 * K) % (2 * K) >= K, (width, height), iou_threshold=0.2, t_3d=0.3,
        all_modes=False, clip_boxes=True, last_pixel=1.0, min_seed_score=0.05, min_mode_score=0.002,
        lower_body_weight=0.1, lower_body_joints=BODY13.lower_limbs, score_threshold=0.0,
    )  # fmt: skip
    assert len(people) == len(expected) > 0
    for i, (score, pose_2d, pose_3d, *_) in enumerate(expected):
        assert people.scores[i].item() == pytest.approx(score, rel=1e-3)
        near(people.pred_keypoints[i, :, :2], pose_2d, 4e-2)
        near(people.pred_poses_3d[i], pose_3d, 1e-3)


def test_options_of_the_file_reach_the_config() -> None:
    config = convert_lcrnet_v2(lcrnet_v2_file(True)).config
    assert config["INPUT"] == {"FORMAT": "BGR", "MIN_SIZE_TEST": 500, "MAX_SIZE_TEST": 900}
    assert config["MODEL"]["RPN"]["PRE_NMS_TOPK_TEST"] == 300
    assert config["MODEL"]["ANCHOR_GENERATOR"]["SIZES"] == [[32], [64], [128], [256], [512]]
    c4 = convert_lcrnet_v2(lcrnet_v2_file(False)).config["MODEL"]
    assert c4["ANCHOR_GENERATOR"]["SIZES"] == [[16.0, 32.0, 64.0, 128.0]]
    assert c4["ROI_BOX_HEAD"]["NAME"] == "Res5BoxHead" and c4["ROI_BOX_HEAD"]["POOLER_RESOLUTION"] == 14
    content = lcrnet_v2_file(False)
    content["cfg"]["FAST_RCNN"]["ROI_XFORM_RESOLUTION"] = 7
    assert convert_lcrnet_v2(content).config["MODEL"]["ROI_BOX_HEAD"]["NAME"] == "Res5BoxHeadOfStride1"
    content["cfg"]["FAST_RCNN"]["ROI_XFORM_RESOLUTION"] = 10
    with pytest.raises(ValueError, match=r"ROI_XFORM_RESOLUTION is 10; known are \[7, 14\]"):
        convert_lcrnet_v2(content)


def test_without_twins_all_classes_are_full_bodies() -> None:
    content = lcrnet_v2_file(True)
    content["anchor_poses"][-1, -1] += 1
    lcrnet = convert_lcrnet_v2(content).config["MODEL"]["LCRNET"]
    assert (lcrnet["NUM_ANCHOR_POSES"], lcrnet["UPPER_BODY"]) == (2 * K, False)


def of_joints(joints: int) -> dict[str, Any]:
    content = lcrnet_v2_file(True)
    content["anchor_poses"] = np.random.default_rng(0).random((2 * K, 5 * joints), np.float32)
    for kind, columns in (("weight", 20), ("bias", None)):
        rows = (2 * K + 1) * 5 * joints
        content["model"][f"Pose_Outs.pose_pred.{kind}"] = torch.zeros(rows if columns is None else (rows, columns))
    return content


def test_published_files_of_17_joints_are_known_and_others_need_a_name() -> None:
    def skeleton(joints: int, name: str | None = None) -> str:
        return convert_lcrnet_v2(of_joints(joints), name).config["MODEL"]["LCRNET"]["SKELETON"]

    assert skeleton(17) == "LCRNET17" and skeleton(17, "H36M17") == "H36M17"
    with pytest.raises(ValueError, match=r"14 joints, which are not those of 'BODY13'.*'LSP14': 14"):
        skeleton(14)
    assert skeleton(14, "LSP14") == "LSP14"


def change(content: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    return {**content, "model": {**content["model"], name: value}}


def test_files_that_do_not_fit_are_refused() -> None:
    content = lcrnet_v2_file(True)
    with pytest.raises(ValueError, match=r"unexpected keys \['Mask_Head.conv.weight'\]"):
        convert_lcrnet_v2(change(content, "Mask_Head.conv.weight", torch.zeros(1)))
    with pytest.raises(ValueError, match=r"need 7 scores and 455 regressions; Pose_Outs has 6 and 455"):
        convert_lcrnet_v2(change(content, "Pose_Outs.cls_score.weight", torch.zeros(6, 20)))
    with pytest.raises(ValueError, match="fc1.bias has numbers that are not finite"):
        convert_lcrnet_v2(change(content, "Box_Head.fc1.bias", torch.full((20,), torch.nan)))
    with pytest.raises(ValueError, match="is a str, expected a tensor"):
        convert_lcrnet_v2(change(content, "Box_Head.fc1.bias", "text"))
    with pytest.raises(ValueError, match="'RoICrop'; only RoIAlign"):
        convert_lcrnet_v2({**content, "cfg": {"FAST_RCNN": {"ROI_XFORM_METHOD": "RoICrop"}}})
    with pytest.raises(ValueError, match=r"have \(3, 4, 6, 2\) blocks"):
        names = [name for name in content["model"] if ".res5.2." in name]
        convert_lcrnet_v2({**content, "model": {k: v for k, v in content["model"].items() if k not in names}})


def test_a_file_is_read_as_published_and_nothing_else(tmp_path: Path) -> None:
    content = lcrnet_v2_file(False)
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content, protocol=2))
    read = read_lcrnet_v2(path)
    ours, theirs = convert_lcrnet_v2(read), convert_lcrnet_v2(content)
    assert ours.config == theirs.config
    assert all(torch.equal(value, theirs.model[name]) for name, value in ours.model.items())
    path.write_bytes(pickle.dumps({**content, "cfg": nn.Linear(1, 1)}))
    with pytest.raises(ValueError, match=r"x\.pkl: it names torch.nn.modules.linear.Linear"):
        read_lcrnet_v2(path)
    path.write_bytes(pickle.dumps({"model": {}}))
    with pytest.raises(ValueError, match=r"lacks \['anchor_poses', 'cfg'\]"):
        read_lcrnet_v2(path)
