from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from detectron2.structures import BoxMode, Instances
from PIL import Image

from lcrnet_d2 import LCRNetDatasetMapper
from lcrnet_d2.config import load_config
from lcrnet_d2.data import ImageFileError, PoseTargets, TilePeople, build_training_mapper
from lcrnet_d2.data.dataset_mapper import photo_in_tile
from lcrnet_d2.data.datasets.pose_json import load_pose_json
from lcrnet_d2.data.person_zoom import WindowTransform
from lcrnet_d2.structures import BODY13, CROWD, PERSON, UNANNOTATED, AnchorPoses, margin_box
from tests_support import person, random_poses, seen_at, standing_pose, write_tiny_set

SIZE = (120, 160)  # H, W


def rows(anchors: AnchorPoses, points: torch.Tensor, v: float = 2.0, fraction: float = 0.25, **more: object):
    keypoints = torch.cat([points, torch.full((len(points), 13, 1), v)], -1)
    poses = standing_pose().expand(len(points), 13, 3)
    nothing = torch.zeros(0, 4)
    fields = {"boxes_without_3d": nothing, "crowd_boxes": nothing, "partly_annotated": False} | more
    return PoseTargets(anchors, fraction)([TilePeople(keypoints, poses, torch.zeros_like(poses), size=SIZE, **fields)])


def standing_at(x: float, y: float, scale: float = 50) -> torch.Tensor:
    return seen_at(standing_pose()[None], x, y, scale)


def test_a_whole_person_has_a_full_row_and_an_upper_body_row(anchors: AnchorPoses) -> None:
    points = standing_at(80, 50)
    out = rows(anchors, points)
    assert out.gt_kinds.tolist() == [PERSON, PERSON]
    torch.testing.assert_close(out.gt_boxes.tensor[0], margin_box(points)[0])
    torch.testing.assert_close(out.gt_boxes.tensor[1], margin_box(points[:, BODY13.upper_body])[0])
    assert out.gt_classes[0] < 4 and out.gt_classes[1] == out.gt_classes[0] + 4


def test_legs_outside_the_image_leave_the_upper_body_alone(anchors: AnchorPoses) -> None:
    out = rows(anchors, standing_at(80, 110))  # hips at y 122 and above, knees at 142
    assert len(out) == 1 and out.gt_classes[0] >= 4
    assert out.gt_boxes.tensor[0, 3] == SIZE[0]  # clipped
    assert out.gt_keypoints[0, BODY13.index("left_ankle"), 1] > SIZE[0]  # 2D targets are not


def test_grey_around_a_photo_shows_nobody(anchors: AnchorPoses) -> None:
    """Legs on it are those that the photo's edge cuts off, as the edge of an image does."""
    points, photo = standing_at(80, 50), torch.tensor([40.0, 20, 120, 62])  # hips at y 62, knees at 82
    out = rows(anchors, points, photo=photo)
    assert len(out) == 1 and out.gt_classes[0] >= 4
    assert (out.gt_boxes.tensor[0, :2] >= photo[:2]).all() and out.gt_boxes.tensor[0, 3] == 62
    assert out.gt_keypoints[0, :, 2].tolist() == [2.0 if y < 62 else 1.0 for y in points[0, :, 1].tolist()]


def test_where_augmentations_leave_a_photo() -> None:
    """100 x 60 px: turned in its own frame, from x = 40 on at half its size in a square of 40 px, mirrored."""
    transforms = T.TransformList(
        [
            T.RotationTransform(60, 100, 10, expand=False),
            WindowTransform((40, 0), (60, 60), (30, 30), (0, 5), 40),
            T.HFlipTransform(40),
        ]
    )
    assert photo_in_tile((60, 100), transforms, (40, 40)).tolist() == [10, 5, 40, 35]


def test_completed_joints_do_not_earn_a_full_row(anchors: AnchorPoses) -> None:
    assert len(rows(anchors, standing_at(80, 50), v=0.0)) == 1
    assert len(rows(anchors, standing_at(80, 50), v=1.0)) == 2  # hidden but measured does


def test_without_upper_body_classes_everyone_has_one_row(full_body_anchors: AnchorPoses) -> None:
    out = rows(full_body_anchors, torch.cat([standing_at(50, 50), standing_at(80, 110)]))
    assert len(out) == 2 and (out.gt_classes < 4).all()


def test_full_rows_come_first(anchors: AnchorPoses) -> None:
    out = rows(anchors, torch.cat([standing_at(50, 50), standing_at(110, 50)]))
    assert (out.gt_classes < 4).tolist() == [True, True, False, False]
    assert out.gt_keypoints[0].equal(out.gt_keypoints[2]) and out.gt_keypoints[1].equal(out.gt_keypoints[3])


def test_joints_outside_the_image_are_not_seen(full_body_anchors: AnchorPoses) -> None:
    """In a mosaic they would be peaks of heat maps on the tile beside."""
    out = rows(full_body_anchors, standing_at(80, 110))
    inside = out.gt_keypoints[0, :, 1] < SIZE[0]
    assert 0 < inside.sum() < 13
    assert out.gt_keypoints[0, :, 2].tolist() == [2.0 if seen else 1.0 for seen in inside.tolist()]
    assert rows(full_body_anchors, standing_at(80, 110), v=0.0).gt_keypoints[..., 2].max() == 0


def test_of_a_person_with_one_row_the_other_is_not_a_second_person(anchors: AnchorPoses) -> None:
    """Of a person three times as large only the legs and a strip of the upper body's box are in the image."""
    points = 3 * (standing_at(80, 50) - standing_at(80, 50)[:, [BODY13.index("left_hip")]])
    points += torch.tensor([80.0, -5.0])
    upper = margin_box(points[:, BODY13.upper_body])[0]
    assert 0 < upper[3] < 0.25 * (upper[3] - upper[1])
    out = rows(anchors, points)
    assert out.gt_kinds.tolist() == [PERSON] and 0 <= out.gt_classes[0] < 4


@pytest.mark.parametrize(("x", "kinds"), [(0.0, [PERSON]), (-15.0, [CROWD]), (400.0, [])])
def test_what_is_seen_of_somebody_mostly_outside_is_neither_learnt_nor_background(
    x: float, kinds: list[int], full_body_anchors: AnchorPoses
) -> None:
    """The margin box is 0.72 m = 36 px wide: half inside at x = 0, 3 px of it at x = -15, nothing at 400."""
    out = rows(full_body_anchors, standing_at(x, 50))
    assert out.gt_kinds.tolist() == kinds
    assert (out.gt_classes >= 0).tolist() == [kind == PERSON for kind in kinds]
    if kinds == [CROWD]:
        assert out.gt_boxes.tensor[0, [0, 2]].tolist() == pytest.approx([0, 3], abs=0.1)


def test_what_is_seen_of_somebody_near_is_a_person_of_unknown_pose(full_body_anchors: AnchorPoses) -> None:
    """Ten times as large, the margin box is 360 px wide; the image shows a small part of it, as of a face."""
    keypoints = torch.cat([10 * (standing_at(80, 50) - 80) + 80, torch.full((1, 13, 1), 2.0)], -1)
    nothing = torch.zeros(0, 4)
    people = TilePeople(keypoints, standing_pose()[None], torch.zeros(1, 13, 3), nothing, nothing, SIZE, False)
    out = PoseTargets(full_body_anchors)([people])
    assert out.gt_kinds.tolist() == [PERSON] and out.gt_classes.tolist() == [-1]
    assert out.gt_boxes.tensor[0].tolist() == pytest.approx([0, 0, SIZE[1], SIZE[0]])


def test_others_crowds_and_the_rest_of_the_image(anchors: AnchorPoses) -> None:
    box = torch.tensor([[10.0, 10.0, 200.0, 60.0]])
    out = rows(anchors, standing_at(80, 50)[:0], boxes_without_3d=box, crowd_boxes=box, partly_annotated=True)
    assert out.gt_kinds.tolist() == [PERSON, CROWD, UNANNOTATED]
    assert out.gt_classes.tolist() == [-1, -1, -1]
    assert out.gt_boxes.tensor.tolist() == [[10, 10, 160, 60], [10, 10, 160, 60], [0, 0, 160, 120]]


def test_labels_are_the_nearest_anchor_pose(anchors: AnchorPoses) -> None:
    poses = random_poses(20, seed=4)
    keypoints = torch.cat([seen_at(poses, 80, 60, 50), torch.full((20, 13, 1), 2.0)], -1)
    nothing = torch.zeros(0, 4)
    out = PoseTargets(anchors)([TilePeople(keypoints, poses, torch.zeros_like(poses), nothing, nothing, SIZE, False)])
    distances = (poses[:, None] - anchors.poses_3d[None, :4]).norm(dim=-1).mean(-1)
    assert out.gt_classes[:20].tolist() == distances.argmin(1).tolist()


def test_uncertain_3d_counts_less(anchors: AnchorPoses) -> None:
    """By 1 / (1 + (std / 0.1 m)^2): 1, 0.5 and 0.2 for 0, 0.1 and 0.2 m; in both rows of a person."""
    keypoints = torch.cat([standing_at(80, 50), torch.full((1, 13, 1), 2.0)], -1)
    variances = torch.tensor([0.0, 0.1, 0.2]).square().expand(1, 13, 3)
    nothing, box = torch.zeros(0, 4), torch.tensor([[10.0, 10.0, 50.0, 60.0]])
    out = PoseTargets(anchors)([TilePeople(keypoints, standing_pose()[None], variances, box, nothing, SIZE, False)])
    expected = torch.tensor([1.0, 0.5, 0.2]).expand(2, 13, 3)
    torch.testing.assert_close(out.gt_pose_3d_weights[:2], expected)
    assert len(out) == 3 and out.gt_pose_3d_weights[2].abs().max() == 0  # a box without 3D


def test_tiles_have_the_rows_they_have_alone_where_they_lie(anchors: AnchorPoses) -> None:
    height, width = SIZE
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    tiles = []
    for number, (x, corner) in enumerate(zip([80, -15, 150, 300], corners, strict=True)):
        points = torch.cat([standing_at(x, 50), 5 * standing_at(x, 20) - 4 * x])
        keypoints = torch.cat([points, torch.full((2, 13, 1), 2.0)], -1)
        boxes = torch.tensor([[-30.0, 10, 200, 70], [150, 20, 500, 50]])
        poses = random_poses(2, seed=number)
        partly = number % 2 == 1
        tiles.append(TilePeople(keypoints, poses, poses.square(), boxes, boxes[:number], SIZE, partly, corner))
    targets = PoseTargets(anchors)
    together = targets(tiles)
    assert together.image_size == (2 * height, 2 * width)

    def described(rows: Instances, corner: tuple[int, int]) -> list[list[float]]:
        boxes = rows.gt_boxes.tensor + torch.tensor([*corner, *corner])
        seen = rows.gt_poses_3d.flatten(1).any(1)[:, None, None]  # rows without a pose have zeros
        keypoints = rows.gt_keypoints + torch.tensor([*corner, 0]) * seen
        numbers = [boxes, keypoints, rows.gt_poses_3d, rows.gt_pose_3d_weights, rows.gt_classes, rows.gt_kinds]
        return torch.cat([n.reshape(len(rows), -1).float() for n in numbers], 1).tolist()

    alone = [row for t in tiles for row in described(targets([t._replace(corner=(0, 0))]), t.corner)]
    assert len(alone) > 12
    np.testing.assert_allclose(sorted(described(together, (0, 0))), sorted(alone), atol=1e-3)


@pytest.fixture
def files(tmp_path: Path, anchors: AnchorPoses) -> tuple[Path, Path]:
    anchors.save(tmp_path / "anchors.npz")
    return write_tiny_set(tmp_path / "set"), tmp_path / "anchors.npz"


def mapper(anchor_file: Path, is_train: bool = True, *opts: object) -> LCRNetDatasetMapper:
    defaults = ["MODEL.LCRNET.NUM_ANCHOR_POSES", 4, "MODEL.LCRNET.UPPER_BODY", True]
    defaults += ["MODEL.LCRNET.ANCHOR_POSES", str(anchor_file)]
    return LCRNetDatasetMapper(load_config("Base-LCRNet-Lite0-FPN.yaml", [*defaults, *opts]), is_train)


def test_from_file_to_rows(files: tuple[Path, Path]) -> None:
    records = load_pose_json(files[0], files[0].parent, BODY13)
    out = mapper(files[1])(records[1])
    assert out["image"].shape == (3, 240, 320) and out["image"].dtype == torch.uint8
    assert len(out["instances"]) == 2 and "annotations" not in out
    assert records[1]["annotations"]  # the registered dict is left as it was
    nobody = mapper(files[1])(records[0])["instances"]
    assert len(nobody) == 0 and nobody.gt_keypoints.shape == (0, 13, 3)


def test_standard_deviations_become_weights_and_follow_a_flip(files: tuple[Path, Path]) -> None:
    records = load_pose_json(files[0], files[0].parent, BODY13)
    record = records[1]
    std = np.zeros((13, 3), np.float32)
    std[BODY13.index("left_wrist")] = [0.1, 0.0, 0.2]
    record["annotations"][0]["pose_3d_std"] = std
    found = set()
    mapped = mapper(files[1])
    for _ in range(20):
        weights = mapped(record)["instances"].gt_pose_3d_weights[0]
        wrists = [n for n in ("left_wrist", "right_wrist") if weights[BODY13.index(n)].min() < 1]
        found.add(tuple(wrists))
        torch.testing.assert_close(weights[BODY13.index(wrists[0])], torch.tensor([0.5, 1.0, 0.2]))
        assert (weights < 1).sum() == 2
    assert found == {("left_wrist",), ("right_wrist",)}
    assert mapped(records[2])["instances"].gt_pose_3d_weights.min() == 1


def test_augmented_joints_stay_on_the_body(files: tuple[Path, Path]) -> None:
    """The stick figure is drawn in a colour of its own; after crop, flip, roll and resize its joints are on it."""
    records = load_pose_json(files[0], files[0].parent, BODY13)
    augmenting = mapper(
        files[1], True, "INPUT.LCRNET.ROTATION", 25.0, "INPUT.CROP.ENABLED", True, "INPUT.CROP.SIZE", [0.9, 0.9]
    )
    np.random.seed(0)  # Detectron2's augmentations draw from it
    checked = 0
    for number in range(10):
        out = augmenting(records[1 + number % 5])
        rows_ = out["instances"]
        image = out["image"].float()
        for x, y, _ in rows_.gt_keypoints[:1].reshape(-1, 3).tolist():
            x, y = int(x), int(y)
            if 2 <= x < image.shape[2] - 2 and 2 <= y < image.shape[1] - 2:
                patch = image[:, y - 2 : y + 3, x - 2 : x + 3]
                if patch.min() < 20:
                    continue  # cropped away, then turned back in: black
                assert (patch[0] - patch[2]).max() > 60  # RGB: the figure is reddish, all else is grey
                checked += 1
    assert checked > 80  # of 130


def test_test_time_has_no_labels(files: tuple[Path, Path]) -> None:
    records = load_pose_json(files[0], files[0].parent, BODY13)
    out = mapper(Path("none.npz"), False)(records[1])
    assert set(out) == {"file_name", "height", "width", "image_id", "image"}


def test_an_unreadable_image_is_skipped_in_training_and_an_error_in_testing(
    files: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    record = load_pose_json(files[0], files[0].parent, BODY13)[1]
    Path(record["file_name"]).write_bytes(b"no image")
    assert mapper(files[1])(record) is None
    assert "1.png" in caplog.text
    with pytest.raises(ImageFileError, match=r"1\.png"):
        mapper(files[1], False)(record)


def test_an_image_of_another_size_than_annotated_is_refused(files: tuple[Path, Path]) -> None:
    record = load_pose_json(files[0], files[0].parent, BODY13)[1]
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(record["file_name"])
    with pytest.raises(ImageFileError, match=r"60 x 50 px, its annotation says 160 x 120"):
        mapper(files[1], False)(record)


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["MODEL.LCRNET.NUM_ANCHOR_POSES", 5], "does not fit the config"),
        (["MODEL.LCRNET.UPPER_BODY", False], "does not fit the config"),
        (["MODEL.LCRNET.SKELETON", "H36M17"], "does not fit the config"),
        (["MODEL.LCRNET.ANCHOR_POSES", ""], "ANCHOR_POSES is empty"),
        (["INPUT.RANDOM_FLIP", "vertical"], "RANDOM_FLIP"),
    ],
)
def test_anchors_that_do_not_fit_the_config_are_an_error(
    opts: list[object], message: str, files: tuple[Path, Path]
) -> None:
    with pytest.raises(ValueError, match=message):
        mapper(files[1], True, *opts)


def test_annotated_boxes_follow_the_augmentation(files: tuple[Path, Path]) -> None:
    """A person without 3D keeps the annotated box, resized with the image (120 -> 240 px)."""
    record = load_pose_json(files[0], files[0].parent, BODY13)[0]
    unknown = {"bbox": [10.0, 20.0, 40.0, 60.0], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "iscrowd": 0}
    known = person(standing_pose(), standing_at(80, 60)[0])
    record = record | {"annotations": [unknown, known]}
    out = mapper(files[1], True, "INPUT.RANDOM_FLIP", "none")(record)["instances"]
    assert out.gt_classes.tolist()[-1] == -1
    assert out.gt_boxes.tensor[-1].tolist() == [20.0, 40.0, 80.0, 120.0]


def training_mapper(anchor_file: Path, records: list, *opts: object):
    opts = ("MODEL.LCRNET.ANCHOR_POSES", str(anchor_file), "MODEL.LCRNET.NUM_ANCHOR_POSES", 4, *opts)
    cfg = load_config("Base-LCRNet-Lite0-FPN.yaml", [*opts, "MODEL.LCRNET.UPPER_BODY", True])
    return build_training_mapper(cfg, records, [1.0] * len(records))


def test_a_canvas_makes_every_training_picture_square_mosaics_too(files: tuple[Path, Path]) -> None:
    pose_file, anchor_file = files
    records = load_pose_json(pose_file, pose_file.parent, BODY13)
    mapper = training_mapper(anchor_file, records, "INPUT.LCRNET.CANVAS", 64, "INPUT.LCRNET.MOSAIC", 0.5)
    mapped = [mapper(record) for record in records * 5]
    assert {tuple(record["image"].shape) for record in mapped} == {(3, 64, 64)}
    assert all(record["instances"].image_size == (64, 64) for record in mapped)


@pytest.mark.parametrize("key, value", [("MOSAIC", 0.5), ("PERSON_SIZE", [0.5, 1.0])])
def test_what_is_a_share_of_a_canvas_is_refused_without_one(files: tuple[Path, Path], key: str, value: object) -> None:
    with pytest.raises(ValueError, match="CANVAS"):
        training_mapper(files[1], [{}], f"INPUT.LCRNET.{key}", value)


def test_a_person_size_brings_people_to_that_share_of_the_canvas(files: tuple[Path, Path]) -> None:
    pose_file, anchor_file = files
    record = next(r for r in load_pose_json(pose_file, pose_file.parent, BODY13) if len(r["annotations"]) == 1)
    mapper = training_mapper(anchor_file, [record], "INPUT.LCRNET.CANVAS", 64, "INPUT.LCRNET.PERSON_SIZE", [0.75, 0.75])
    mapped = mapper(record)
    joints = mapped["instances"].gt_keypoints[0, :, :2]
    assert mapped["image"].shape == (3, 64, 64)
    # The annotated box has a margin of 10 % on each side: 48 px of 64 for the box, 40 for the joints.
    assert (joints.max(0).values - joints.min(0).values).max() == pytest.approx(40, abs=1)
