from __future__ import annotations

import json
from pathlib import Path

import build_anchor_poses
import pytest
from tests_support import write_tiny_set

from lcrnet_d2.structures import AnchorPoses


def test_from_pose_file_to_anchor_poses_and_a_picture(tmp_path: Path) -> None:
    file = write_tiny_set(tmp_path / "set", num_images=12)
    out = tmp_path / "new" / "anchors.npz"
    build_anchor_poses.main(["--pose-file", str(file), "--num-anchor-poses", "3", "--upper-body", "--output", str(out)])
    anchors = AnchorPoses.load(out)
    assert anchors.num_full_body == 3 and len(anchors) == 6
    assert anchors.cluster_sizes.sum() == 2 * 11  # 11 people and their mirror images
    assert out.with_suffix(".png").stat().st_size > 1000


def test_a_file_without_3d_says_so(tmp_path: Path) -> None:
    file = write_tiny_set(tmp_path / "set")
    content = json.loads(file.read_text())
    content["annotations"] = []
    file.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="no person with a 3D pose"):
        build_anchor_poses.main(["--pose-file", str(file), "--output", str(tmp_path / "a.npz")])
