from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

import visualize_data
from lcrnet_d2.structures import BODY13, CROWD, PERSON, AnchorPoses, margin_box
from tests_support import random_poses, seen_at, standing_pose, write_tiny_set

J = len(BODY13)


def rows(anchors: AnchorPoses, v: int = 2) -> Instances:
    """One person of 100 px/m at (150, 120), full and upper body, one person without 3D, one crowd; 300 x 240 px."""
    pose = standing_pose()[None]
    points = seen_at(pose, 150, 120, 100)
    upper = margin_box(points[:, BODY13.upper_body])
    out = Instances((240, 300))
    others = torch.tensor([[10.0, 10, 50, 50], [240, 20, 290, 200]])
    out.gt_boxes = Boxes(torch.cat([margin_box(points), upper, others]))
    label = int(anchors.nearest(pose)[0])
    out.gt_classes = torch.tensor([label, label + anchors.num_full_body, -1, -1])
    out.gt_kinds = torch.tensor([PERSON, PERSON, PERSON, CROWD])
    keypoints = torch.cat([points, torch.full((1, J, 1), float(v))], 2)
    out.gt_keypoints = torch.cat([keypoints, keypoints, torch.zeros(2, J, 3)])
    out.gt_poses_3d = torch.cat([pose, pose, torch.zeros(2, J, 3)])
    return out


def picture(anchors: AnchorPoses, people: Instances) -> np.ndarray:
    """Of a black image, without the 3D: scale 2."""
    return visualize_data.draw_training_entry(np.zeros((240, 300, 3), np.uint8), people, anchors)[:, :600]


def test_each_kind_of_row_has_its_colour(anchors: AnchorPoses) -> None:
    drawn = picture(anchors, rows(anchors))
    full, upper, without, crowd = rows(anchors).gt_boxes.tensor
    assert tuple(drawn[2 * int(full[3]) - 1, 300]) == visualize_data.FULL_BODY  # the bottom line
    assert tuple(drawn[2 * int(upper[3]), 2 * int(upper[0]) + 8]) == visualize_data.UPPER_BODY
    assert tuple(drawn[60, 20]) == visualize_data.WITHOUT_3D and tuple(drawn[200, 480]) == visualize_data.IGNORED
    hatched = (drawn[44:396, 484:576] == visualize_data.IGNORED).all(2).mean()
    assert 0.01 < hatched < 0.2 and not drawn[24:96, 24:96].any()  # lines in the crowd, nothing in the other
    assert without[0] * 2 == 20 and crowd[0] * 2 == 480


def test_joints_by_visibility(anchors: AnchorPoses) -> None:
    """At the right wrist, away from any other line's end: white where seen, not where hidden (a ring)."""
    x, y = (2 * seen_at(standing_pose(), 150, 120, 100)[BODY13.index("head")]).int().tolist()
    seen, hidden, completed = (picture(anchors, rows(anchors, v)) for v in (2, 1, 0))
    assert tuple(seen[y, x]) == (255, 255, 255) == tuple(completed[y, x])
    assert tuple(hidden[y, x]) != (255, 255, 255)  # the bones' colour shows through the ring
    assert not np.array_equal(seen, completed)


def test_a_person_with_two_rows_stands_once_in_3d(anchors: AnchorPoses) -> None:
    poses = rows(anchors).gt_poses_3d[:2]
    assert len(visualize_data.distinct(poses)) == 1
    assert len(visualize_data.distinct(random_poses(3, 0))) == 3
    assert visualize_data.distinct(poses[:0]).shape == (0, J, 3)


def test_channels_are_shown_as_they_are() -> None:
    image = torch.zeros(3, 4, 5, dtype=torch.uint8)
    image[0] = 200  # the first channel
    assert visualize_data.rgb_image({"image": image}, "BGR")[0, 0].tolist() == [0, 0, 200]
    assert visualize_data.rgb_image({"image": image}, "RGB")[0, 0].tolist() == [200, 0, 0]


def prepared(folder: Path, anchors: AnchorPoses, num_images: int) -> list[str]:
    """Arguments for a set of so many pictures, whose pictures become folder / "look"."""
    file = write_tiny_set(folder / "set", num_images=num_images)
    anchors.save(folder / "anchors.npz")
    arguments = ["--pose-file", str(file), "--output", str(folder / "look")]
    arguments += ["--config-file", "Base-LCRNet-R50-FPN.yaml"]
    arguments += ["MODEL.LCRNET.NUM_ANCHOR_POSES", "4", "MODEL.LCRNET.UPPER_BODY", "True"]
    return [*arguments, "MODEL.LCRNET.ANCHOR_POSES", str(folder / "anchors.npz")]


def test_the_tool_draws_what_the_mapper_gives(tmp_path: Path, anchors: AnchorPoses) -> None:
    """An image without people and one that cannot be read included."""
    arguments = prepared(tmp_path, anchors, 4)
    (tmp_path / "set" / "3.png").write_bytes(b"no picture")
    visualize_data.main(arguments)
    drawn = sorted((tmp_path / "look").glob("*.png"))
    assert [file.name for file in drawn] == ["000000_0.png", "000001_1.png", "000002_2.png"]
    height, width, _ = cv2.imread(str(drawn[1])).shape
    assert height >= 480 and width > 2.5 * height  # 4:3 picture and two views


def test_mosaics_are_drawn_where_the_config_trains_on_them(
    tmp_path: Path, anchors: AnchorPoses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four pictures of one person each, all in one with probability 1."""
    arguments = prepared(tmp_path, anchors, 4)
    tiles = []
    monkeypatch.setattr("lcrnet_d2.data.mosaic.join_tiles", lambda read: tiles.append(len(read)) or read[0])
    visualize_data.main(["--num-images", "1", *arguments, "INPUT.LCRNET.CANVAS", "64", "INPUT.LCRNET.MOSAIC", "1.0"])
    assert tiles == [4]


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path: Path, anchors: AnchorPoses) -> None:
    """A folder has taken its name; OpenCV's own writer would only return False."""
    arguments = prepared(tmp_path, anchors, 1)
    (tmp_path / "look" / "000000_0.png").mkdir(parents=True)
    with pytest.raises(OSError, match=r"000000_0\.png"):
        visualize_data.main(arguments)
