from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from lcrnet_d2.data.mosaic import Mosaic, join_tiles
from lcrnet_d2.structures import PERSON, UNANNOTATED


def tile(number: int, size: int = 10) -> dict:
    """A picture of one colour with one person in the box (2, 3, 6, 9), not everyone annotated."""
    rows = Instances((size, size))
    rows.gt_boxes = Boxes(torch.tensor([[2.0, 3, 6, 9], [0, 0, size, size]]))
    rows.gt_classes = torch.tensor([number, -1])
    rows.gt_kinds = torch.tensor([PERSON, UNANNOTATED])
    rows.gt_keypoints = torch.full((2, 13, 3), 2.0)
    rows.gt_poses_3d = torch.full((2, 13, 3), float(number))
    return {
        "image": torch.full((3, size, size), number, dtype=torch.uint8),
        "height": size,
        "width": size,
        "image_id": number,
        "instances": rows,
    }


def test_tiles_lie_in_reading_order_and_carry_their_rows() -> None:
    out = join_tiles([tile(n) for n in range(4)])
    assert out["image"].shape == (3, 20, 20)
    assert [int(out["image"][0, y, x]) for y, x in [(0, 0), (0, 19), (19, 0), (19, 19)]] == [0, 1, 2, 3]
    rows = out["instances"]
    assert rows.image_size == (20, 20) and len(rows) == 8
    people = rows[rows.gt_kinds == PERSON]
    assert people.gt_boxes.tensor.tolist() == [[2, 3, 6, 9], [12, 3, 16, 9], [2, 13, 6, 19], [12, 13, 16, 19]]
    assert people.gt_keypoints[3, 0].tolist() == [12, 12, 2]  # v stays
    assert people.gt_poses_3d[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert people.gt_classes.tolist() == [0, 1, 2, 3]


def test_each_tile_keeps_its_ignored_region() -> None:
    rows = join_tiles([tile(n) for n in range(4)])["instances"]
    regions = rows.gt_boxes.tensor[rows.gt_kinds == UNANNOTATED]
    assert regions.tolist() == [[0, 0, 10, 10], [10, 0, 20, 10], [0, 10, 10, 20], [10, 10, 20, 20]]


def test_joining_leaves_the_tiles_as_they_were() -> None:
    tiles = [tile(n) for n in range(4)]
    join_tiles(tiles)
    assert all(t["instances"].gt_boxes.tensor[0].tolist() == [2, 3, 6, 9] for t in tiles)


def alone(record: dict) -> dict:
    return record | {"alone": True}


def test_partners_come_as_often_as_their_weights_say() -> None:
    np.random.seed(0)
    partners = [{"number": n} for n in range(3)]
    mosaic = Mosaic(alone, lambda d: tile(d["number"]), partners, [1.0, 0.0, 3.0], 1.0)
    drawn = np.concatenate([mosaic({"number": 1})["image"][0, ::10, ::10].flatten()[1:] for _ in range(500)])
    counts = np.bincount(drawn, minlength=3)
    assert counts[1] == 0
    assert abs(counts[2] / counts.sum() - 0.75) < 0.05  # 1,500 draws: standard deviation 0.011


def test_the_largest_draw_gives_the_last_partner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The running sum of these weights ends 1e-16 below their sum: a draw between the two had no partner."""
    weights = np.random.default_rng(4).random(9).tolist()
    assert np.cumsum(weights)[-1] < np.sum(weights)
    mosaic = Mosaic(alone, lambda d: tile(d["number"]), [{"number": n} for n in range(9)], weights, 1.0)
    monkeypatch.setattr(np.random, "uniform", lambda size=None: np.full(size or 1, np.nextafter(1, 0)))
    monkeypatch.setattr(mosaic, "probability", 2.0)
    assert mosaic({"number": 1})["image"][0, -1, -1] == 8


def test_no_mosaic_without_probability_or_with_an_unreadable_tile() -> None:
    partners = [{"number": 1}]
    assert Mosaic(alone, lambda d: tile(d["number"]), partners, [1.0], 0.0)({"number": 0})["alone"]
    assert Mosaic(alone, lambda d: None, partners, [1.0], 1.0)({"number": 0})["alone"]
