from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import build_anchor_poses
from lcrnet_d2.structures import BODY13, AnchorPoses
from sources.mocap.take import Take
from sources.mocap.takes import pose_base_of
from tests_support import random_poses, standing_pose, write_tiny_set


def test_from_pose_file_to_anchor_poses_and_a_picture(tmp_path: Path) -> None:
    file = write_tiny_set(tmp_path / "set", num_images=12)
    out = tmp_path / "new" / "anchors.npz"
    build_anchor_poses.main(["--pose-file", str(file), "--num-anchor-poses", "3", "--upper-body", "--output", str(out)])
    anchors = AnchorPoses.load(out)
    assert anchors.num_full_body == 3 and len(anchors) == 6
    assert anchors.cluster_sizes.sum() == 2 * 11  # 11 people and their mirror images
    assert out.with_suffix(".png").stat().st_size > 1000
    known = anchors.provenance
    assert (known["source"], known["num_poses"], known["mirrored"]) == (file.name, 22, True)
    # The nearest anchor pose is at most as far as that of one's own cluster.
    sizes, distances = anchors.cluster_sizes.double(), anchors.mean_distances.double()
    own = 1000 * float((sizes * distances).sum() / sizes.sum())
    assert 0.5 * own < known["mean_distance_to_nearest_mm"] <= own + 0.01


def test_a_file_without_3d_says_so(tmp_path: Path) -> None:
    file = write_tiny_set(tmp_path / "set")
    content = json.loads(file.read_text())
    content["annotations"] = []
    file.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="no person with a 3D pose"):
        build_anchor_poses.main(["--pose-file", str(file), "--output", str(tmp_path / "a.npz")])


def mocap_file(path: Path) -> Path:
    """CMU 01 stands; CMU 02 moves a little, in 20 poses."""
    poses = {"01_01.amc": standing_pose()[None], "02_01.amc": random_poses(20, seed=2)}
    takes = [Take(p.double().numpy(), np.arange(len(p)), 120.0, name) for name, p in poses.items()]
    pose_base_of(takes).save(path)
    return path


def built(mocap: Path, *more: str) -> AnchorPoses:
    out = mocap.parent / "anchors.npz"
    build_anchor_poses.main(["--mocap", str(mocap), "--output", str(out), *more])
    return AnchorPoses.load(out)


def test_every_view_of_mocap_its_own_anchor_pose(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    mocap = mocap_file(tmp_path / "poses.npz")
    anchors = built(mocap, "--views", "4", "--num-anchor-poses", "8", "--picture", str(tmp_path / "look.png"))
    assert anchors.cluster_sizes.tolist() == [1] * 8  # 4 views and their mirror images
    assert anchors.provenance["mean_distance_to_nearest_mm"] == 0
    assert anchors.provenance["subjects"] == ["CMU_01", "CMU_02"] and anchors.provenance["num_views"] == 4
    assert (tmp_path / "look.png").is_file() and not (tmp_path / "anchors.png").exists()
    assert "mean distance to the nearest anchor pose 0 mm" in capsys.readouterr().out


def test_anchor_poses_of_mocap_are_oriented_as_the_cameras_see_them(tmp_path: Path) -> None:
    """Someone who stands, from 30 degrees above: the head comes nearer by half its height over the body centre."""
    seen = ["--exclude", "CMU_02", "--elevation", "30", "30", "--roll", "0", "0"]
    anchors = built(
        mocap_file(tmp_path / "poses.npz"), *seen, "--views", "40", "--num-anchor-poses", "8", "--upper-body"
    )
    assert anchors.num_full_body == 8 and len(anchors) == 16
    head = standing_pose()[BODY13.index("head"), 1]  # about 0.5 m up; y is down
    assert np.allclose(anchors.poses_3d[:, BODY13.index("head"), 2], 0.5 * float(head), atol=0.05)
    # Seen from all sides: some show the left shoulder on the right, some on the left.
    across = anchors.poses_3d[:, BODY13.index("left_shoulder"), 0]
    assert across.max() > 0.1 and across.min() < -0.1


def test_people_left_out_are_measured_on_and_not_clustered(tmp_path: Path) -> None:
    mocap = mocap_file(tmp_path / "poses.npz")
    anchors = built(mocap, "--views", "60", "--num-anchor-poses", "4", "--exclude", "CMU_02")
    known = anchors.provenance
    assert (known["subjects"], known["excluded"]) == (["CMU_01"], ["CMU_02"])
    assert known["left_out_mean_distance_to_nearest_mm"] > known["mean_distance_to_nearest_mm"] > 0
    with pytest.raises(SystemExit, match=r"\['CMU_99'\]; the base has \['CMU_01', 'CMU_02'\]"):
        built(mocap, "--exclude", "CMU_99")
    with pytest.raises(SystemExit, match="joints of BODY13"):
        built(mocap, "--skeleton", "COCO17")


def test_a_set_and_mocap_are_clustered_together(tmp_path: Path) -> None:
    mocap, pose_file = mocap_file(tmp_path / "poses.npz"), write_tiny_set(tmp_path / "set")
    people = sum("pose_3d" in a for a in json.loads(pose_file.read_text())["annotations"])
    anchors = built(mocap, "--views", "7", "--pose-file", str(pose_file), "--num-anchor-poses", "3")
    assert int(anchors.cluster_sizes.sum()) == anchors.provenance["num_poses"] == 2 * (people + 7)
    assert [source["source"] for source in anchors.provenance["sources"]] == ["poses.json", "poses.npz"]


def test_whose_poses_must_be_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        build_anchor_poses.main(["--output", str(tmp_path / "a.npz")])
    assert "whose poses?" in capsys.readouterr().err


def test_several_sets_are_clustered_together_at_most_so_many_poses_of_each(tmp_path: Path) -> None:
    files = [write_tiny_set(tmp_path / name) for name in ("a", "b")]
    people = sum("pose_3d" in a for a in json.loads(files[0].read_text())["annotations"])
    arguments = ["--pose-file", *map(str, files), "--num-anchor-poses", "2", "--output", str(tmp_path / "out.npz")]
    for most, expected in ((people, 2 * people), (2, 4)):
        build_anchor_poses.main([*arguments, "--max-poses", str(most)])
        provenance = AnchorPoses.load(tmp_path / "out.npz").provenance
        assert provenance["num_poses"] == 2 * expected  # and their mirror images
        assert [source["source"] for source in provenance["sources"]] == [file.name for file in files]
