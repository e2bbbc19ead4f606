"""Sets on disk: whole shards, restart, the project's reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lcrnet_d2.data.datasets.pose_json import load_pose_json, read_pose_info
from lcrnet_d2.structures import BODY13
from rendered_scenes import shards
from rendered_scenes.scene import Studio
from rendered_scenes.shards import ANNOTATIONS, SetPlan, render_set


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_SIZE", 2)


class Stopping:
    """A studio that is killed before scene `last`."""

    def __init__(self, studio: Studio, last: int) -> None:
        self._studio, self._last = studio, last

    def scene(self, split: str, seed: int, index: int, shots: str) -> object:
        if index >= self._last:
            raise KeyboardInterrupt
        return self._studio.scene(split, seed, index, shots)


def test_a_stopped_run_goes_on_and_ends_the_same(studio: Studio, tmp_path: Path, small_shards: None) -> None:
    plan = SetPlan("val", 5, 3, {"mocap": ["made up"]})
    assert render_set(tmp_path / "whole", plan, lambda: studio) == 5
    with pytest.raises(KeyboardInterrupt):
        render_set(tmp_path / "stopped", plan, lambda: Stopping(studio, 3))  # type: ignore[arg-type, return-value]
    assert not (tmp_path / "stopped" / ANNOTATIONS).exists()
    (tmp_path / "stopped/shards/00001.part/000099.jpg").write_bytes(b"left by the run that was killed")
    assert render_set(tmp_path / "stopped", plan, lambda: studio) == 3  # the shard of 0 and 1 is kept
    assert render_set(tmp_path / "stopped", plan, lambda: studio) == 0
    for name in (ANNOTATIONS, "shards/00000/000001.jpg", "shards/00001/000003.jpg", "shards/00002/000004.jpg"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    left = {str(file.relative_to(tmp_path / "stopped")) for file in (tmp_path / "stopped").rglob("*")}
    assert left == {str(file.relative_to(tmp_path / "whole")) for file in (tmp_path / "whole").rglob("*")}


def test_the_projects_reader_takes_it(studio: Studio, tmp_path: Path) -> None:
    render_set(tmp_path, SetPlan("train", 4, 0, {}), lambda: studio)
    records = load_pose_json(tmp_path / ANNOTATIONS, tmp_path, BODY13)
    people = [person for record in records for person in record["annotations"] if "pose_3d" in person]
    assert len(records) == 4 and len(people) >= 3
    assert all(Path(record["file_name"]).is_file() for record in records)
    assert read_pose_info(tmp_path / ANNOTATIONS)["rendered"]["split"] == "train"
    for record in records:
        camera = record["camera"]
        for person in record["annotations"]:
            if "pose_3d" not in person:
                assert person["iscrowd"] == 1
                continue
            x, y, z = (person["pose_3d"] + np.array(person["root_position"])).T
            pixels = np.stack([camera["fx"] * x / z + camera["cx"], camera["fy"] * y / z + camera["cy"]], 1)
            keypoints = np.reshape(person["keypoints"], (-1, 3))
            np.testing.assert_allclose(pixels, keypoints[:, :2], atol=0.05 * max(1, abs(pixels).max() / 1000))


def test_a_folder_with_another_set_is_refused(studio: Studio, tmp_path: Path) -> None:
    render_set(tmp_path, SetPlan("train", 1, 0, {}), lambda: studio)
    with pytest.raises(ValueError, match="another seed"):
        render_set(tmp_path, SetPlan("train", 1, 1, {}), lambda: studio)
