"""The findings from images to the page, at a size of seconds, and what their numbers rest on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lcrnet_d2.data.datasets.pose_json import write_pose_json
from lcrnet_d2.structures import BODY13, AnchorPoses, pose_distance
from model_support import save_random_model, small_config
from reproduction.claims import CLAIMS, verdict
from reproduction.findings import STAGES, run_stage
from reproduction.heads import HeadPlan, Schedule, cluster_by_distance
from reproduction.judging import paired_difference
from reproduction.plan import Questions
from reproduction.regions import RegionSet, feature_basis
from reproduction.study import Study
from tests_support import person, random_poses, seen_at

CAMERA = {"fx": 100.0, "fy": 100.0, "cx": 48.0, "cy": 48.0}


def write_scenes(folder: Path, count: int, seed: int) -> Path:
    """Images of one person each, who fills them."""
    folder.mkdir()
    records = []
    for i, pose in enumerate(random_poses(count, seed)):
        image = np.full((96, 96, 3), 120, np.uint8)
        points = seen_at(pose, 48, 48, 45)
        for a, b in BODY13.bone_indices:
            cv2.line(image, *(tuple(points[j].int().tolist()) for j in (a, b)), (30, 60, 200), 3)
        cv2.imwrite(str(folder / f"{i}.png"), image)
        record = {"file_name": f"{i}.png", "height": 96, "width": 96, "image_id": i, "camera": CAMERA}
        records.append(record | {"annotations": [person(pose, points, root_position=[0.0, 0.0, 3.0])]})
    write_pose_json(folder / "annotations.json", records, BODY13)
    return folder


@pytest.fixture
def study(tmp_path: Path, anchors: AnchorPoses) -> Study:
    """A network that has learnt nothing, whose regions are the RPN's anchors, and few, small heads."""
    weights = save_random_model(tmp_path, anchors)
    content = torch.load(weights, weights_only=True)
    for name in ("weight", "bias"):
        content["model"][f"proposal_generator.rpn_head.anchor_deltas.{name}"].zero_()
    torch.save(content, weights)
    cfg = small_config(weights)
    cfg.TEST.LCRNET.MAX_FALSE_POSITIVES = 1000.0  # somebody is to be found
    # Nine regions a image, the middle one around the person.
    cfg.MODEL.RPN.IN_FEATURES, cfg.MODEL.ANCHOR_GENERATOR.OFFSET = ["p5"], 0.5
    cfg.MODEL.ANCHOR_GENERATOR.SIZES, cfg.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS = [[56]], [[2.5, 2.5, 2.5]]
    (tmp_path / "network.yaml").write_text(cfg.dump())
    sets = {name: (write_scenes(tmp_path / name, 12, seed),) for seed, name in enumerate(("train", "val", "test"))}
    questions = Questions(compared_k=(1, 2), seeds=1, shares=(0.5, 1.0), checked_k=(1, 2), fewer_seeds=1)
    schedule = Schedule(batch=32, rate=5e-3, check=20, most=60, warm_up=2)
    return Study(tmp_path / "out", str(tmp_path / "network.yaml"), sets, schedule=schedule, questions=questions)


def test_from_images_to_the_page(study: Study) -> None:
    photos = {"photos": (study.sets["val"][0] / "annotations.json", study.sets["val"][0])}
    for stage in STAGES:
        run_stage(study, stage, 1, photos, 1)
    page = (study.folder / "RESULTS.md").read_text()
    assert all(claim.text in page for claim in CLAIMS)
    for name in ("table1", "grid", "fig5", "fig6"):
        assert f"](images/{name}.png)" in page and (study.folder / "images" / f"{name}.png").is_file()
    # The head on kept regions is the head in the network, from images on: half precision is all that differs.
    whole = json.loads((study.folder / "parts" / "whole.json").read_text())["numbers"]
    assert whole["kept_minus_network"] < 1.0
    # Again: nothing is trained, nothing is run.
    kept = [file for name in ("regions", "heads", "looks") for file in (study.folder / name).rglob("*.*")]
    before = {file: file.stat().st_mtime_ns for file in kept}
    for stage in STAGES[:-1]:
        run_stage(study, stage, 1, photos, 1)
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())


def test_kept_regions_are_labelled_as_in_training(study: Study, anchors: AnchorPoses) -> None:
    study.make_basis()
    study.make_regions("train", 0)
    regions = study.regions("train")
    for plan_anchors in (anchors, study.anchors(HeadPlan(2))):
        labels = regions.labelled(plan_anchors, study.network().roi_heads.proposal_matcher)
        on_people = (labels.classes >= 0) & (labels.classes < len(plan_anchors))
        assert on_people.any() and (labels.classes == len(plan_anchors)).any()
        for region in on_people.nonzero()[:, 0].tolist():
            row = labels.rows[region]
            box, true = regions.boxes[region], regions.gt_boxes[row]
            both = (torch.minimum(box[2:], true[2:]) - torch.maximum(box[:2], true[:2])).clamp(min=0).prod()
            areas = (box[2:] - box[:2]).prod() + (true[2:] - true[:2]).prod()
            assert both / (areas - both) >= 0.5 and regions.with_upper[row] == plan_anchors.has_upper_body
            upper = bool(regions.gt_classes[row] == 1)
            nearest = int(plan_anchors.nearest(regions.gt_poses_3d[row][None])[0])
            assert labels.classes[region] == nearest + upper * plan_anchors.num_full_body


def test_kept_numbers_hold_all_that_the_first_layer_uses() -> None:
    torch.manual_seed(0)
    pooled = torch.randn(40, 6) @ torch.randn(6, 30) + 5.0
    layer = torch.randn(4, 30)
    basis, variance = feature_basis(pooled, layer, 3)
    torch.testing.assert_close((pooled @ basis) @ (layer @ basis).T, pooled @ layer.T, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(basis.T @ basis, torch.eye(7), rtol=0, atol=1e-4)
    assert feature_basis(pooled, layer, 6)[1] == pytest.approx(1.0, abs=1e-4)  # six dimensions there are
    assert 0 < variance < 1


def test_centres_by_distance_are_nearer(full_body_anchors: AnchorPoses) -> None:
    poses = random_poses(200, seed=0)
    moved = cluster_by_distance(full_body_anchors, seen_at(poses, 0.5, 0.5, 0.4), poses, BODY13)
    before, after = (pose_distance(poses, a.poses_3d).amin(1).mean() for a in (full_body_anchors, moved))
    assert after < before
    of_clusters = float(moved.mean_distances @ moved.cluster_sizes.float() / 200)
    assert of_clusters == pytest.approx(float(after), rel=1e-4)


def test_differences_are_of_pairs_and_images_are_drawn() -> None:
    rng = np.random.default_rng(1)
    easy = rng.normal(100, 50, 300)
    mean, low, high = paired_difference(easy + 3 + rng.normal(0, 1, 300), easy, np.arange(300))
    assert low < mean < high and high - low < 0.5 and mean == pytest.approx(3, abs=0.2)  # not 50 / sqrt(300)
    alike = np.repeat(rng.normal(0, 1, 30), 10)  # ten people of one image are one of them
    groups = np.arange(300), np.arange(300) // 10
    widths = [np.diff(paired_difference(alike, 0 * alike, images)[1:]) for images in groups]
    assert widths[1] > 2 * widths[0]


def test_a_verdict_is_the_intervals() -> None:
    assert verdict((2, 1, 3)) == "holds" and verdict((-2, -3, -1)) == "does not hold"
    assert verdict((1, -1, 3)).startswith("not decided") and verdict(None) == "cannot be asked here"


def test_sets_are_read_in_the_order_they_are_written(tmp_path: Path) -> None:
    fields = {name: np.zeros((0, 4)) for name in RegionSet.__dataclass_fields__}
    for number, count in enumerate((2, 1)):
        part = fields | {"features": np.full((count, 3), number, np.float16), "counts": np.array([count])}
        np.savez(tmp_path / f"{number}.npz", **part)
    regions = RegionSet.load([tmp_path / "0.npz", tmp_path / "1.npz"])
    assert regions.features[:, 0].tolist() == [0, 0, 1] and regions.counts.tolist() == [2, 1]
    assert regions.first_images(0.5).tolist() == [True, True, False]
