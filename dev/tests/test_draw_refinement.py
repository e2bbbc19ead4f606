from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import draw_refinement
from lcrnet_d2.detected_people import DetectedPeople
from lcrnet_d2.structures import BODY13
from people_support import standing_people


def test_the_part_with_people_has_a_margin_and_stays_inside() -> None:
    people = standing_people(x=60)
    (x1, y1), (x2, y2) = people.boxes[:, :2].min(0), people.boxes[:, 2:].max(0)
    left, top, right, bottom = draw_refinement.part_with_people(people)
    height, width = people.image_size
    assert 0 <= left <= x1 and 0 <= top <= y1 and x2 <= right <= width and y2 <= bottom <= height
    assert left < x1 and x2 < right


def test_without_people_the_whole_image_is_shown() -> None:
    assert draw_refinement.part_with_people(DetectedPeople.nobody(BODY13, (30, 40))) == (0, 0, 40, 30)


def test_integrated_above_and_refined_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a person whose joints move 40 px to the right."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((240, 320, 3), np.uint8))
    before, after = standing_people(x=100), standing_people(x=140)
    monkeypatch.setattr(draw_refinement, "before_and_after", lambda predictor, image: (before, after))
    monkeypatch.setattr(draw_refinement, "PosePredictor", lambda config_file: None)
    draw_refinement.main(["--input", str(tmp_path), "--count", "1", "--output", str(tmp_path / "out.jpg")])
    picture = cv2.imread(str(tmp_path / "out.jpg"))
    assert picture is not None
    upper, lower = np.split(picture, 2)
    assert upper.shape == lower.shape and np.abs(upper.astype(int) - lower).max() > 100
