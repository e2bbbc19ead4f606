from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lcrnet_d2.evaluation import ImagePredictions, PredictedPeople
from lcrnet_d2.structures import BODY13
from reproduction.figure5 import draw_figure_5, exemplary_cases, pair_found_people, pair_top_scored
from tests_support import person, random_poses, seen_at

COUNT = 5


@pytest.fixture
def images(tmp_path: Path):
    """One person per picture; NMS is 130 mm off at one joint, PPI's best is exact and its second best far off."""
    poses = random_poses(COUNT, seed=3)
    points = seen_at(poses, 80, 60, 50)
    records, predictions = [], []
    for i, (pose, seen) in enumerate(zip(poses, points, strict=True)):
        file = tmp_path / f"{i}.png"
        cv2.imwrite(str(file), np.full((120, 160, 3), 90, np.uint8))
        people = [person(pose, seen)]
        records.append({"file_name": str(file), "image_id": i, "height": 120, "width": 160, "annotations": people})
        off = pose.clone()
        off[BODY13.index("left_ankle"), 2] += 0.13
        nms = PredictedPeople.without_seeds(np.ones(1), seen.numpy()[None], off.numpy()[None])
        two = np.array([0.2, 0.9]), torch.stack([seen + 500, seen]).numpy(), torch.stack([off + 1, pose]).numpy()
        predictions.append(ImagePredictions(i, str(file), 160, 120, PredictedPeople.without_seeds(*two), nms))
    return records, predictions


def test_the_four_cases_of_the_caption() -> None:
    #                    accurate  PPI helps  alignment helps  failure  in between
    nms = np.array([20.0, 150.0, 120.0, 400.0, 60.0])
    ppi = np.array([20.0, 40.0, 120.0, 390.0, 55.0])
    aligned = np.array([19.0, 38.0, 40.0, 380.0, 50.0])
    assert exemplary_cases(nms, ppi, aligned) == [0, 1, 2, 3]


def test_everyone_is_one_case_and_few_people_give_few_cases() -> None:
    same = np.full(6, 50.0)
    assert len(set(exemplary_cases(same, same, same))) == 4
    assert exemplary_cases(same[:1], same[:1], same[:1]) == [0]


def test_the_top_scored_detection_is_drawn(images) -> None:
    paired = pair_top_scored(*images, BODY13)
    assert paired.nms_mm == pytest.approx(np.full(COUNT, 10.0), abs=1e-3)  # 130 mm at one of 13 joints
    assert paired.ppi_mm == pytest.approx(np.zeros(COUNT), abs=1e-3)


def test_people_of_any_set_are_matched_in_2d(images) -> None:
    records, predictions = images
    paired = pair_found_people(records, predictions, BODY13)
    top = pair_top_scored(records, predictions, BODY13)
    for name in ("images", "nms_mm", "ppi_mm", "ppi_2d"):
        np.testing.assert_allclose(getattr(paired, name), getattr(top, name), atol=1e-3)
    with pytest.raises(ValueError, match="nobody with a 3D pose is found by both"):
        pair_found_people(records, predictions, BODY13, {"nms": 2.0, "ppi": 0.0})


def test_it_is_drawn_small_with_and_without_pictures(images, tmp_path: Path) -> None:
    records, predictions = images
    records[0]["file_name"] = "gone.png"
    draw_figure_5(pair_top_scored(records, predictions, BODY13), records, BODY13, tmp_path / "figure.png")
    assert cv2.imread(str(tmp_path / "figure.png")).shape == (900, 1000, 3)
    assert (tmp_path / "figure.png").stat().st_size < 200_000
