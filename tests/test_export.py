from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from detectron2.modeling import build_model
from PIL import Image
from torch import nn

from lcrnet_d2.config import load_config
from lcrnet_d2.export import ProposalNetwork, export_onnx, largest_differences, of_image, run_onnx
from lcrnet_d2.modeling import Rules, integrate_pose_proposals
from lcrnet_d2.modeling.joint_heat_maps import JointMaps
from lcrnet_d2.modeling.joint_refinement import RefinementRules, refine_joints
from lcrnet_d2.structures import BODY13, AnchorPoses, centre_poses
from tests_support import random_poses, seen_at

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install onnx onnxruntime")
pytest.importorskip("onnx")
run_onnx_example = pytest.importorskip("run_onnx")

TOOLS = Path(__file__).parents[1] / "tools"
CONFIG = "quick_schedules/lcrnet_lite0_demo.yaml"
OPTS = ["MODEL.LCRNET.NUM_ANCHOR_POSES", 4, "MODEL.LCRNET.UPPER_BODY", True, "MODEL.FPN.OUT_CHANNELS", 8]
OPTS += ["MODEL.ROI_BOX_HEAD.FC_DIM", 8, "INPUT.MIN_SIZE_TEST", 64, "INPUT.MAX_SIZE_TEST", 96]
OPTS += [
    "MODEL.WEIGHTS",
    "",
    "MODEL.DEVICE",
    "cpu",
    "MODEL.RPN.POST_NMS_TOPK_TEST",
    60,
    "TEST.DETECTIONS_PER_IMAGE",
    1000,
]


def spread_out(model: nn.Module, anchors: AnchorPoses) -> nn.Module:
    """Random weights whose scores and boxes differ by more than rounding."""
    torch.manual_seed(0)
    model.roi_heads.box_predictor.set_anchor_poses(anchors)
    rpn = model.proposal_generator.rpn_head
    for layer, std in ((rpn.conv, 0.1), (rpn.objectness_logits, 0.3), (rpn.anchor_deltas, 0.02)):
        nn.init.normal_(layer.weight, std=std)
    nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=1.0)
    nn.init.normal_(model.roi_heads.box_predictor.pose_pred.weight, std=0.1)
    return model.eval()


def heat_maps(cfg: CfgNode) -> CfgNode:
    cfg.MODEL.LCRNET.JOINT_REFINEMENT.ENABLED = True
    return cfg


@pytest.fixture(scope="module")
def exported_with_heat_maps(
    tmp_path_factory: pytest.TempPathFactory, anchors: AnchorPoses
) -> tuple[nn.Module, CfgNode, Path]:
    cfg = heat_maps(load_config(CONFIG, OPTS))
    model = spread_out(build_model(cfg), anchors)
    nn.init.normal_(model.roi_heads.joint_head.heat.predict.weight, std=0.5)
    nn.init.constant_(model.roi_heads.joint_head.heat.predict.bias, -2.0)
    path = tmp_path_factory.mktemp("exported") / "heat_maps.onnx"
    export_onnx(model, cfg, path)
    return model, cfg, path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, anchors: AnchorPoses) -> tuple[nn.Module, CfgNode, Path]:
    cfg = load_config(CONFIG, OPTS)
    model = spread_out(build_model(cfg), anchors)
    path = tmp_path_factory.mktemp("exported") / "tiny.onnx"
    export_onnx(model, cfg, path)
    return model, cfg, path


@pytest.fixture(scope="module")
def exported_r50(tmp_path_factory: pytest.TempPathFactory, anchors: AnchorPoses) -> tuple[nn.Module, CfgNode, Path]:
    cfg = load_config("Base-LCRNet-R50-FPN.yaml", OPTS)
    model = spread_out(build_model(cfg), anchors)
    with torch.no_grad():
        for name, feature in model.backbone(70 * torch.randn(1, 3, 64, 64)).items():
            if name != "p6":  # which is pooled from p5
                getattr(model.backbone, name.replace("p", "fpn_output")).weight /= feature.std()
    path = tmp_path_factory.mktemp("exported") / "r50.onnx"
    export_onnx(model, cfg, path)
    return model, cfg, path


@pytest.fixture(scope="module")
def exported_movenet(tmp_path_factory: pytest.TempPathFactory, anchors: AnchorPoses) -> tuple[nn.Module, CfgNode, Path]:
    """MobileNetV2 with MoveNet's layers, and heat maps."""
    cfg = load_config("Base-LCRNet-MobileNetV2-FPN.yaml", OPTS)
    model = spread_out(build_model(cfg), anchors)
    path = tmp_path_factory.mktemp("exported") / "movenet.onnx"
    export_onnx(model, cfg, path)
    return model, cfg, path


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def pictures(count: int, size: tuple[int, int]) -> torch.Tensor:
    """(N, 3, H, W), all different."""
    return torch.stack([torch.from_numpy(picture(*size, seed)).permute(2, 0, 1).float() for seed in range(count)])


def proposals_of(network: ProposalNetwork, images: torch.Tensor) -> dict[str, np.ndarray]:
    with torch.no_grad():
        return {name: value.numpy() for name, value in zip(network.outputs, network(images), strict=True)}


def session_of(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


#: Each with the sizes of images, (H, W), that it is given: as in the example of the export, larger, odd.
MODELS = {
    "exported": [(64, 80), (96, 64), (63, 97)],
    "exported_with_heat_maps": [(63, 97)],
    "exported_r50": [(64, 80)],
    "exported_movenet": [(63, 97)],
}


@pytest.mark.parametrize(("kind", "size"), [(kind, size) for kind, sizes in MODELS.items() for size in sizes], ids=str)
def test_a_batch_gives_what_its_images_alone_and_torch_give(
    kind: str, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    model, _, path = request.getfixturevalue(kind)
    session, images = session_of(path), pictures(3, size)
    together, expected = run_onnx(session, images), proposals_of(ProposalNetwork(model), images)
    assert list(together) == list(ProposalNetwork(model).outputs)
    assert np.unique(together["image_index"]).tolist() == [0, 1, 2] and (np.diff(together["image_index"]) >= 0).all()
    for index in range(3):
        alone = run_onnx(session, images[index : index + 1])
        assert not alone["image_index"].any()
        here, in_torch = of_image(together, index), of_image(expected, index)
        assert len(here["scores"]) > 50 and here["scores"].max() > 0.3
        assert max(largest_differences(here, of_image(alone, 0), max(size))) < 1e-3
        assert max(largest_differences(here, in_torch, max(size))) < 1e-3
        assert len(here["scores"]) == len(in_torch["scores"])
    first, second = (of_image(together, index) for index in (0, 1))
    assert max(largest_differences(first, second, max(size))) > 0.01  # they are different images


@pytest.mark.parametrize("kind", MODELS)
def test_an_image_in_which_nothing_is_found(kind: str, request: pytest.FixtureRequest) -> None:
    """Pixels that are no numbers give no region. The others lose nothing by it; alone the image gives empty outputs."""
    model, _, path = request.getfixturevalue(kind)
    session, images = session_of(path), pictures(3, (64, 80))
    images[1] = np.nan
    found, expected = run_onnx(session, images), proposals_of(ProposalNetwork(model), images)
    assert np.unique(found["image_index"]).tolist() == np.unique(expected["image_index"]).tolist() == [0, 2]
    for index in (0, 2):
        assert max(largest_differences(of_image(found, index), of_image(expected, index), 80)) < 1e-3
    alone = run_onnx(session, images[1:2])
    assert alone["poses_3d"].shape == (0, 13, 3) and alone["scores"].shape == alone["image_index"].shape == (0,)


@pytest.mark.parametrize("size", [(64, 80), (63, 97)], ids=str)
def test_heat_maps_are_exported_at_any_size(
    size: tuple[int, int], exported_with_heat_maps: tuple[nn.Module, CfgNode, Path]
) -> None:
    _, _, path = exported_with_heat_maps
    found = run_onnx(session_of(path), pictures(2, size))
    rows, columns = (-(-side // 32) * 8 for side in size)
    assert found["joint_heat"].shape == (2, 13, rows, columns) and found["joint_heat"].std() > 0.01
    assert found["joint_offsets"].shape == (2, 13, 2, rows, columns)
    second = of_image(found, 1)
    moved = {**second, "joint_heat": second["joint_heat"] + 0.2}
    assert largest_differences(second, moved, max(size)).joint_heat == pytest.approx(0.2, abs=1e-3)


@torch.no_grad()
def test_the_networks_proposals_are_those_of_inference(exported: tuple[nn.Module, CfgNode, Path]) -> None:
    model, _, _ = exported
    image = torch.from_numpy(picture(64, 96)).permute(2, 0, 1)
    proposals = of_image(proposals_of(ProposalNetwork(model), image[None].float()), 0)
    decode, seen = model.roi_heads.box_predictor.inference, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.roi_heads.box_predictor, "inference", lambda *given: seen.extend(decode(*given)) or seen)
        model([{"image": image, "height": 64, "width": 96}])
    inside = seen[0]._replace(poses_3d=centre_poses(seen[0].poses_3d, BODY13))
    for name, value in proposals.items():
        torch.testing.assert_close(torch.from_numpy(value), getattr(inside, name), rtol=1e-4, atol=1e-4)


def test_differences_are_found_and_order_is_none(exported: tuple[nn.Module, CfgNode, Path]) -> None:
    model, _, _ = exported
    a = of_image(proposals_of(ProposalNetwork(model), pictures(1, (64, 96))), 0)
    shuffled = {name: value[::-1].copy() for name, value in a.items()}
    assert largest_differences(a, shuffled, 96)[:3] == (0, 0, 0)
    best = int(a["scores"].argmax())
    for name, change, index in (("scores", 0.01, 0), ("poses_2d", 9.6, 1), ("poses_3d", 0.02, 2)):
        moved = {**a, name: a[name].copy()}
        moved[name][best] += change
        expected = change / 96 if name == "poses_2d" else change
        assert largest_differences(a, moved, 96)[index] == pytest.approx(expected, rel=1e-3)
    others = {**a, "classes": a["classes"] + 100}
    assert largest_differences(a, others, 96).scores == np.inf
    nobody = {name: value[:0] for name, value in a.items()}
    assert largest_differences(nobody, nobody, 96).scores == np.inf


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("all_modes", [False, True])
def test_the_examples_integration_is_the_packages(seed: int, all_modes: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    poses_3d = random_poses(60, seed)
    places = torch.randint(0, 3, (60,), generator=generator)
    poses_2d = torch.stack([seen_at(p[None], 40 + 50 * k, 60, 30)[0] for p, k in zip(poses_3d, places, strict=True)])
    scores = torch.rand(60, generator=generator) ** 3
    upper_body = torch.rand(60, generator=generator) < 0.3
    rules = {"iou_threshold": 0.4, "t_3d": 0.2, "all_modes": all_modes, "min_seed_score": 0.05}
    rules |= {"min_mode_score": 0.002, "lower_body_weight": 0.1}
    arguments = (scores, poses_2d, poses_3d, (110, 150), upper_body, BODY13.lower_limbs)
    expected = integrate_pose_proposals(*arguments, Rules(**rules))
    arrays = {"scores": scores.numpy(), "poses_2d": poses_2d.numpy(), "poses_3d": poses_3d.numpy()}
    people = run_onnx_example.integrate(
        arrays, upper_body.numpy(), (150, 110), **rules,
        clip_boxes=True, lower_body_joints=BODY13.lower_limbs, score_threshold=0.0,
    )  # fmt: skip
    assert len(people) == len(expected.scores) > 2
    for person, score, pose_2d, pose_3d, seed_index in zip(
        people, expected.scores, expected.poses_2d, expected.poses_3d, expected.seeds, strict=True
    ):
        assert person[0] == pytest.approx(score.item(), rel=1e-5) and person[3] == seed_index
        np.testing.assert_allclose(person[1], pose_2d, atol=1e-3)
        np.testing.assert_allclose(person[2], pose_3d, atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
def test_the_examples_refinement_is_the_packages(seed: int) -> None:
    """People in one place, with duplicates, of very different scores."""
    generator = torch.Generator().manual_seed(seed)
    poses = seen_at(random_poses(5, seed), 50, 45, 40)
    poses = torch.cat([poses, poses[:2] + torch.randn(2, 13, 2, generator=generator)])
    spreads = 10 * torch.rand(7, 13, 2, generator=generator)
    scores = torch.rand(7, generator=generator) + 0.01
    heat = torch.rand(13, 24, 28, generator=generator) ** (6 + seed)
    offsets = torch.rand(13, 2, 24, 28, generator=generator)
    maps = JointMaps(heat.logit()[None], offsets[None])
    expected, heat_there = refine_joints(poses, spreads, scores, [7], maps, RefinementRules(0.1, 0.05))
    nothing = np.zeros((13, 3))
    people = [
        run_onnx_example.Person(float(score), pose.numpy(), nothing, 0, spread.numpy())
        for score, pose, spread in zip(scores, poses, spreads, strict=True)
    ]
    rules = {"min_deviation": 0.1, "min_heat": 0.05, "usual_heat": 0.3}
    found = run_onnx_example.refine(people, heat.numpy(), offsets.numpy(), (112, 96), **rules)
    inside = ((expected >= 0) & (expected < torch.tensor([112, 96]))).all(2)
    scores = scores * ((heat_there * inside).sum(1) / inside.sum(1) / 0.3) ** 2
    order = scores.argsort(descending=True)
    np.testing.assert_allclose([person.score for person in found], scores[order], rtol=1e-4)
    np.testing.assert_allclose([person.pose_2d for person in found], expected[order], rtol=1e-4, atol=1e-2)
    assert run_onnx_example.refine([], heat.numpy(), offsets.numpy(), (112, 96), **rules) == []


def run_without(blocked: tuple[str, ...], folder: Path, *args: object) -> subprocess.CompletedProcess:
    for name in blocked:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "__init__.py").write_text(f"raise ImportError('{name} is not here')")
    return subprocess.run(
        [sys.executable, TOOLS / "run_onnx.py", *map(str, args)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("kind", ["exported", "exported_with_heat_maps"])
def test_the_example_needs_neither_detectron2_nor_torch(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It finds the people the model finds, in the picture's own pixels; a broken picture is reported and skipped."""
    model, cfg, path = request.getfixturevalue(kind)
    image = picture(120, 150, seed=1)
    Image.fromarray(image).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    out = run_without(("detectron2", "torch", "torchvision", "lcrnet_d2"), tmp_path, path, "b.png", "a.png")
    assert out.returncode == 1 and out.stderr.startswith("b.png: ") and out.stderr.count("\n") == 1
    printed = json.loads(out.stdout)
    assert printed["joint_names"] == list(BODY13.joints) and printed["units"]["pose_3d"] == "m"
    (entry,) = printed["images"]

    given = image if cfg.INPUT.FORMAT == "RGB" else image[:, :, ::-1]
    small = T.ResizeShortestEdge(64, 96).get_transform(given).apply_image(given)
    tensor = torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))
    with torch.no_grad():
        people = model([{"image": tensor, "height": 120, "width": 150}])[0]["instances"]
    people = people[people.scores >= cfg.MODEL.LCRNET.INTEGRATION.SCORE_THRESH_PPI]
    assert len(entry["people"]) == len(people) > 0
    for person, score, keypoints, pose_3d in zip(
        entry["people"], people.scores, people.pred_keypoints, people.pred_poses_3d, strict=True
    ):
        assert person["score"] == pytest.approx(score.item(), rel=1e-3)
        np.testing.assert_allclose(person["keypoints_2d"], keypoints[:, :2] - 0.5, atol=0.05)
        np.testing.assert_allclose(person["pose_3d"], pose_3d, atol=1e-3)
