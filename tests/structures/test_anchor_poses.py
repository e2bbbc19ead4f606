from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from lcrnet_d2.data.anchor_clustering import cluster_poses, mirror_poses_2d, with_mirrored
from lcrnet_d2.structures import BODY13, AnchorPoses, pose_distance, to_box_units
from tests_support import random_poses, seen_at


def test_saving_and_loading_changes_nothing(anchors: AnchorPoses, tmp_path: Path) -> None:
    anchors.save(tmp_path / "a.npz")
    loaded = AnchorPoses.load(tmp_path / "a.npz")
    for field in dataclasses.fields(AnchorPoses):
        here, there = getattr(anchors, field.name), getattr(loaded, field.name)
        assert torch.equal(here, there) if isinstance(here, torch.Tensor) else here == there


def test_provenance_is_kept_and_older_files_have_none(anchors: AnchorPoses, tmp_path: Path) -> None:
    told = {"source": "mine.json", "num_poses": 12, "mean_distance_to_nearest_mm": 81.5, "excluded": ["CMU_16"]}
    dataclasses.replace(anchors, provenance=told).save(tmp_path / "a.npz")
    assert AnchorPoses.load(tmp_path / "a.npz").provenance == told
    content = dict(np.load(tmp_path / "a.npz"))
    del content["provenance"]
    np.savez(tmp_path / "old.npz", **content)
    assert AnchorPoses.load(tmp_path / "old.npz").provenance == {}


def test_distance_to_the_nearest_is_the_least_of_all_distances(anchors: AnchorPoses, monkeypatch) -> None:
    monkeypatch.setattr("lcrnet_d2.structures.anchor_poses._POSES_AT_ONCE", 7)
    poses = random_poses(20, seed=3)
    slow = [min(float((pose - anchor).norm(dim=-1).mean()) for anchor in anchors.poses_3d[:4]) for pose in poses]
    assert anchors.distance_to_nearest(poses).tolist() == pytest.approx(slow, abs=1e-6)
    assert anchors.distance_to_nearest(poses[:0]).shape == (0,)


def test_an_anchor_pose_is_nearest_to_itself(anchors: AnchorPoses) -> None:
    full = anchors.poses_3d[:4]
    assert anchors.nearest(full).tolist() == [0, 1, 2, 3]
    upper = torch.tensor([False, True, False, True])
    assert anchors.nearest(full, upper).tolist() == [0, 5, 2, 7]


def test_upper_body_rows_need_upper_body_classes(full_body_anchors: AnchorPoses) -> None:
    with pytest.raises(ValueError, match="upper-body"):
        full_body_anchors.nearest(full_body_anchors.poses_3d, torch.ones(4, dtype=torch.bool))


def test_placing_puts_box_corners_at_zero_and_one(anchors: AnchorPoses) -> None:
    placed = anchors.place(torch.tensor([[10.0, 20.0, 110.0, 220.0]]))
    torch.testing.assert_close(placed[0], anchors.poses_2d * torch.tensor([100.0, 200.0]) + torch.tensor([10.0, 20.0]))


def test_legs_of_an_upper_body_anchor_lie_below_its_box(anchors: AnchorPoses) -> None:
    ankles = [BODY13.index("left_ankle"), BODY13.index("right_ankle")]
    assert (anchors.poses_2d[~anchors.is_upper_body][:, ankles, 1] < 1).all()
    assert (anchors.poses_2d[anchors.is_upper_body][:, ankles, 1] > 1).all()


@pytest.mark.parametrize("damage", ["truncated", "not a file of anchors", "NaN", "other joints"])
def test_damaged_files_are_refused_by_name(damage: str, anchors: AnchorPoses, tmp_path: Path) -> None:
    path = tmp_path / "anchors.npz"
    anchors.save(path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:500])
    elif damage == "not a file of anchors":
        np.savez(path, something=1)
    else:
        content = dict(np.load(path))
        if damage == "NaN":
            content["poses_3d"][0, 0, 0] = np.nan
        else:
            content["joint_names"] = content["joint_names"][::-1]
        np.savez(path, **content)
    with pytest.raises(ValueError, match=r"anchors\.npz"):
        AnchorPoses.load(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="build_anchor_poses"):
        AnchorPoses.load(tmp_path / "none.npz")


def test_clusters_are_means_of_their_poses() -> None:
    """Two poses far apart, each seen with small changes: two clusters, found exactly."""
    a, b = random_poses(2, seed=1)
    b = b + torch.tensor([0.0, 0.0, 0.5]) * torch.arange(13.0)[:, None] / 13
    poses = torch.cat([a + 0.001 * torch.randn(30, 13, 3), b + 0.001 * torch.randn(10, 13, 3)])
    found = cluster_poses(seen_at(poses, 0, 0, 100), poses, BODY13, 2, False, seed=0)
    assert sorted(found.cluster_sizes.tolist()) == [10, 30]
    assert pose_distance(found.poses_3d, found.poses_3d)[0, 1] > 0.1
    assert (found.mean_distances < 0.005).all()


def test_too_few_poses_are_refused() -> None:
    poses = random_poses(1, seed=0).repeat(50, 1, 1)
    with pytest.raises(ValueError, match="5 anchor poses asked of 1 different"):
        cluster_poses(seen_at(poses, 0, 0, 1), poses, BODY13, 5, False, seed=0)


def test_mirrored_2d_is_the_projection_of_mirrored_3d() -> None:
    poses = random_poses(5, seed=2)
    poses_2d, poses_3d = with_mirrored(seen_at(poses, 0, 0, 1), poses, BODY13)
    torch.testing.assert_close(poses_2d, seen_at(poses_3d, 0, 0, 1))
    torch.testing.assert_close(mirror_poses_2d(mirror_poses_2d(poses_2d, BODY13), BODY13), poses_2d)


def test_labels_do_not_depend_on_the_kind_of_numbers(anchors: AnchorPoses) -> None:
    poses = random_poses(20, seed=5)
    labels = anchors.nearest(poses)
    assert torch.equal(anchors.nearest(poses.double()), labels)
    assert anchors.nearest(poses[:0]).shape == (0,)


def test_placed_anchor_poses_are_themselves_in_box_units(anchors: AnchorPoses) -> None:
    corner = torch.rand(5, 2) * 500
    boxes = torch.cat([corner, corner + 1 + torch.rand(5, 2) * 300], 1)
    placed = anchors.place(boxes)  # (5, C, J, 2)
    units = torch.stack([to_box_units(of_class, boxes) for of_class in placed.unbind(1)], 1)
    torch.testing.assert_close(units, anchors.poses_2d.expand(5, -1, -1, -1), atol=1e-3, rtol=0)
    assert anchors.place(boxes[:0]).shape == (0, 8, 13, 2)
