from __future__ import annotations

import numpy as np
import pytest
import torch

from lcrnet_d2.data import TilePeople
from lcrnet_d2.data.mosaic import Mosaic, join_tiles


def tile(number: int, size: int = 10) -> dict:
    """A picture of one colour."""
    nobody, nowhere = torch.zeros(0, 13, 3), torch.zeros(0, 4)
    return {
        "image": np.full((size, size, 3), number, np.uint8),
        "height": size,
        "width": size,
        "image_id": number,
        "tiles": [TilePeople(nobody, nobody, nobody, nowhere, nowhere, (size, size), number % 2 == 0)],
    }


class Tiles:
    """Mapper of tiles that are one colour; of mosaics it labels nothing."""

    def augment(self, record: dict) -> dict | None:
        return tile(record["number"])

    def labelled(self, record: dict) -> dict:
        return record

    def __call__(self, record: dict) -> dict:
        return record | {"alone": True}


class Unreadable(Tiles):
    def augment(self, record: dict) -> dict | None:
        return None


def test_tiles_lie_in_reading_order_and_know_where() -> None:
    tiles = [tile(n) for n in range(4)]
    out = join_tiles(tiles)
    assert out["image"].shape == (20, 20, 3) and (out["height"], out["width"], out["image_id"]) == (20, 20, 0)
    assert [int(out["image"][y, x, 0]) for y, x in [(0, 0), (0, 19), (19, 0), (19, 19)]] == [0, 1, 2, 3]
    assert [t.corner for t in out["tiles"]] == [(0, 0), (10, 0), (0, 10), (10, 10)]
    assert [t.partly_annotated for t in out["tiles"]] == [True, False, True, False]
    assert all(t["tiles"][0].corner == (0, 0) for t in tiles)  # as they were


def test_partners_come_as_often_as_their_weights_say() -> None:
    np.random.seed(0)
    partners = [{"number": n} for n in range(3)]
    mosaic = Mosaic(Tiles(), Tiles(), partners, [1.0, 0.0, 3.0], 1.0)
    drawn = np.concatenate([mosaic({"number": 1})["image"][::10, ::10, 0].flatten()[1:] for _ in range(500)])
    counts = np.bincount(drawn, minlength=3)
    assert counts[1] == 0
    assert abs(counts[2] / counts.sum() - 0.75) < 0.05  # 1,500 draws: standard deviation 0.011


def test_the_largest_draw_gives_the_last_partner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The running sum of these weights ends 1e-16 below their sum: a draw between the two had no partner."""
    weights = np.random.default_rng(4).random(9).tolist()
    assert np.cumsum(weights)[-1] < np.sum(weights)
    mosaic = Mosaic(Tiles(), Tiles(), [{"number": n} for n in range(9)], weights, 1.0)
    monkeypatch.setattr(np.random, "uniform", lambda size=None: np.full(size or 1, np.nextafter(1, 0)))
    monkeypatch.setattr(mosaic, "probability", 2.0)
    assert mosaic({"number": 1})["image"][-1, -1, 0] == 8


def test_no_mosaic_without_probability_or_with_an_unreadable_tile() -> None:
    partners = [{"number": 1}]
    assert Mosaic(Tiles(), Tiles(), partners, [1.0], 0.0)({"number": 0})["alone"]
    assert Mosaic(Tiles(), Unreadable(), partners, [1.0], 1.0)({"number": 0})["alone"]
