from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import plot_training


def write_run(folder: Path, rows: list[dict[str, float]]) -> Path:
    folder.mkdir()
    (folder / "metrics.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def step(iteration: int, loss: float) -> dict[str, float]:
    return {"iteration": iteration, "total_loss": loss, "loss_pose_cls": loss / 2, "loss_pose_reg": loss / 3}


def test_of_iterations_done_twice_the_last_count(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", [step(19, 4), step(39, 3), {"iteration": 39, "v/AP": 7}, step(59, 2), step(39, 1)])
    rows = plot_training.read_metrics(run / "metrics.json")
    assert [(i, row["total_loss"]) for i, row in rows.items()] == [(19, 4), (39, 1)]
    assert "v/AP" not in rows[39]  # it was of the step that was done again


def test_an_evaluation_joins_its_step(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", [step(19, 4), {"iteration": 19, "v/AP": 7}])
    (row,) = plot_training.read_metrics(run / "metrics.json").values()
    assert row["total_loss"] == 4 and row["v/AP"] == 7


def test_the_second_run_begins_where_the_first_ended() -> None:
    loss = {"total_loss": 1.0}
    rows, ends = plot_training.concatenate([{19: loss, 99: loss, 100: {"v/AP": 7}}, {19: loss, 49: loss}])
    assert list(rows) == [19, 99, 100, 119, 149] and ends == [100, 150]


def test_smoothing_keeps_straight_lines() -> None:
    line = np.stack([np.arange(30.0), 2 * np.arange(30.0)], 1)
    np.testing.assert_allclose(plot_training.smoothed(line), line[5:-5])
    np.testing.assert_allclose(plot_training.smoothed(line[:3]), line[1:2])


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, [step(19, 4), {"iteration": 19, "val/AP": 7}, step(39, 3)]) for name in "ab"]
    assert plot_training.main([*map(str, runs), "--metric", "AP", "--output", str(tmp_path / "curve.png")]) == 0
    picture = cv2.imread(str(tmp_path / "curve.png"))
    assert picture is not None and picture.std() > 5


@pytest.mark.parametrize(
    "text, message", [("", "has no losses"), ("{", "line 1"), (json.dumps(step(19, 4)), "no evaluation wrote")]
)
def test_what_cannot_be_drawn_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "metrics.json").write_text(text)
    assert plot_training.main([str(tmp_path), "--output", str(tmp_path / "curve.png")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "curve.png").exists()
