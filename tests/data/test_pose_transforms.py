"""2D and 3D must stay two views of one person: project after an augmentation, or augment after projecting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.data.pose_transforms import transform_poses, transform_variances, transformation_3d
from lcrnet_d2.placement import PinholeCamera
from lcrnet_d2.structures import BODY13
from tests_support import random_poses, seen_at

WIDTH, HEIGHT = 200, 100


def with_v(points: torch.Tensor) -> torch.Tensor:
    return torch.cat([points, torch.full((*points.shape[:-1], 1), 2.0)], -1)


def test_a_flipped_person_seen_by_the_mirrored_camera() -> None:
    """The flipped 3D pose, at the mirrored place before the mirrored camera, falls on the flipped 2D pose."""
    camera = PinholeCamera(150.0, 150.0, 90.0, 55.0)
    mirrored = PinholeCamera(150.0, 150.0, WIDTH - 90.0, 55.0)
    root = torch.tensor([0.4, -0.1, 4.0])
    pose = random_poses(1, seed=1)
    flip = T.TransformList([T.HFlipTransform(WIDTH)])
    keypoints, flipped = transform_poses(with_v(camera.project(pose + root)), pose, flip, BODY13)
    projected = mirrored.project(flipped + root * torch.tensor([-1.0, 1.0, 1.0]))
    torch.testing.assert_close(keypoints[..., :2], projected, atol=1e-3, rtol=0)


def test_a_raised_right_hand_becomes_a_raised_left_hand() -> None:
    pose = torch.zeros(1, 13, 3)
    pose[0, BODY13.index("right_wrist")] = torch.tensor([-0.4, -0.9, 0.0])
    _, flipped = transform_poses(
        with_v(seen_at(pose, 50, 50, 10)), pose, T.TransformList([T.HFlipTransform(WIDTH)]), BODY13
    )
    torch.testing.assert_close(flipped[0, BODY13.index("left_wrist")], torch.tensor([0.4, -0.9, 0.0]))
    assert flipped[0, BODY13.index("right_wrist")].abs().max() == 0


@pytest.mark.parametrize("angle", [90, -37])
def test_a_joint_stays_on_its_white_pixel(angle: float) -> None:
    """Put a dot and a joint at one place, turn and flip both."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[29:32, 59:62] = 255
    pose = torch.zeros(1, 13, 3)
    keypoints = with_v(torch.full((1, 13, 2), 0.0) + torch.tensor([60.5, 30.5]))
    turn = T.RotationTransform(HEIGHT, WIDTH, angle, expand=True)
    turned = turn.apply_image(image)
    transforms = T.TransformList([turn, T.HFlipTransform(turned.shape[1])])
    dot = np.argwhere(transforms.apply_image(image)[..., 0] > 128).mean(0)[::-1] + 0.5
    moved, _ = transform_poses(keypoints, pose, transforms, BODY13)
    np.testing.assert_allclose(moved[0, 0, :2], dot, atol=1.0)


def test_joints_that_leave_the_image_stay_where_they_are() -> None:
    keypoints = torch.zeros(1, 13, 3)
    keypoints[0, 0] = torch.tensor([-50.0, 300.0, 1.0])
    moved, _ = transform_poses(
        keypoints, torch.zeros(1, 13, 3), T.TransformList([T.CropTransform(20, 10, 50, 50)]), BODY13
    )
    assert moved[0, 0].tolist() == [-70.0, 290.0, 1.0]


def test_what_cannot_be_carried_to_3d_is_refused() -> None:
    with pytest.raises(TypeError, match="VFlipTransform cannot be carried over to 3D"):
        transformation_3d(T.TransformList([T.VFlipTransform(HEIGHT)]))
    with pytest.raises(ValueError, match="squeezes one axis by 50%"):
        transformation_3d(T.TransformList([T.ResizeTransform(100, 100, 100, 150)]))
    # A pixel's rounding of a tiny image is no squeeze: 10 x 10 px to 5 x 4 are 25 %, within 1/5 + 1/4; to 6 x 4, 50 %.
    transformation_3d(T.TransformList([T.ResizeTransform(10, 10, 4, 5)]))
    with pytest.raises(ValueError, match="squeezes"):
        transformation_3d(T.TransformList([T.ResizeTransform(10, 10, 4, 6)]))


def test_nobody() -> None:
    keypoints, poses = transform_poses(
        torch.zeros(0, 13, 3), torch.zeros(0, 13, 3), T.TransformList([T.HFlipTransform(WIDTH)]), BODY13
    )
    assert keypoints.shape == (0, 13, 3) and poses.shape == (0, 13, 3)


@st.composite
def augmentations(draw: st.DrawFn) -> list[T.Transform]:
    """Up to five transforms of an image of WIDTH x HEIGHT, each of the size the former leaves."""
    height, width, out = HEIGHT, WIDTH, []
    for kind in draw(st.lists(st.sampled_from(["flip", "turn", "turn and fit", "resize", "crop", "pad"]), max_size=5)):
        if kind == "flip":
            out.append(T.HFlipTransform(width))
        elif kind == "resize":
            times = draw(st.sampled_from([2, 3]))
            out.append(T.ResizeTransform(height, width, times * height, times * width))
            height, width = times * height, times * width
        elif kind == "crop":
            out.append(T.CropTransform(7, 3, width - 10, height - 5, width, height))
            height, width = height - 5, width - 10
        elif kind == "pad":
            out.append(T.PadTransform(4, 5, 6, 7, width, height))
            height, width = height + 12, width + 10
        else:
            angle = draw(st.floats(-360, 360))
            out.append(T.RotationTransform(height, width, angle, expand=kind == "turn and fit"))
            height, width = (out[-1].bound_h, out[-1].bound_w) if kind == "turn and fit" else (height, width)
    return out


@settings(max_examples=40)
@given(transforms=augmentations(), seed=st.integers(0, 1000))
def test_any_augmentations_leave_2d_and_3d_two_views_of_one_person(transforms: list[T.Transform], seed: int) -> None:
    matrix = transformation_3d(T.TransformList(transforms))
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(3), atol=1e-5, rtol=0)
    flips = sum(isinstance(t, T.HFlipTransform) for t in transforms)
    assert torch.det(matrix).item() == pytest.approx((-1) ** flips, abs=1e-5)

    poses = random_poses(2, seed)
    before = with_v(seen_at(poses, 70, 40, 30))
    keypoints, poses_3d = transform_poses(before, poses, T.TransformList(transforms), BODY13)
    one_by_one = before, poses
    for transform in transforms:
        one_by_one = transform_poses(*one_by_one, T.TransformList([transform]), BODY13)
    torch.testing.assert_close(keypoints, one_by_one[0], atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(poses_3d, one_by_one[1], atol=1e-5, rtol=0)

    scale = 30 * np.prod([t.new_w / t.w for t in transforms if isinstance(t, T.ResizeTransform)])
    flat = keypoints[..., :2] - keypoints[:, :1, :2]
    torch.testing.assert_close(flat, float(scale) * (poses_3d - poses_3d[:, :1])[..., :2], atol=2e-2, rtol=1e-3)


def test_a_number_that_is_none_stays_with_its_joint_and_v_goes_with_it() -> None:
    poses = random_poses(2, seed=0).double()
    keypoints = with_v(seen_at(poses, 70, 40, 30)).double()
    wrist, other = BODY13.index("right_wrist"), BODY13.index("left_wrist")
    keypoints[0, wrist] = torch.tensor([torch.nan, torch.inf, 0.0])
    poses[0, wrist] = torch.nan
    turn = T.RotationTransform(HEIGHT, WIDTH, 20)
    moved, turned = transform_poses(keypoints, poses, T.TransformList([T.HFlipTransform(WIDTH), turn]), BODY13)
    broken = torch.zeros(2, 13, dtype=torch.bool)
    broken[0, other] = True
    assert torch.equal(torch.isfinite(moved).all(-1), ~broken) and torch.equal(torch.isfinite(turned).all(-1), ~broken)
    assert torch.equal(moved[..., 2] == 0, broken)
    assert moved.dtype == turned.dtype == torch.float64


def test_variances_by_hand() -> None:
    """Rolled by 60 degrees, x has a quarter of its own variance and three quarters of y's; z keeps its own."""
    variances = torch.zeros(1, 13, 3)
    wrist, other = BODY13.index("right_wrist"), BODY13.index("left_wrist")
    variances[0, wrist] = torch.tensor([0.04, 0.08, 0.5])
    turn = T.RotationTransform(HEIGHT, WIDTH, 60)
    turned = transform_variances(variances, T.TransformList([turn]), BODY13)
    torch.testing.assert_close(turned[0, wrist], torch.tensor([0.07, 0.05, 0.5]))
    flipped = transform_variances(variances, T.TransformList([T.HFlipTransform(WIDTH)]), BODY13)
    torch.testing.assert_close(flipped[0, other], variances[0, wrist])
    assert flipped[0, wrist].abs().max() == 0


def test_variances_are_those_of_transformed_poses() -> None:
    """The slow twin: many poses drawn about one, moved each by itself."""
    generator = torch.Generator().manual_seed(0)
    std = 0.2 * torch.rand(1, 13, 3, generator=generator)
    drawn = std * torch.randn(20_000, 13, 3, generator=generator)
    flip, turn = T.HFlipTransform(WIDTH), T.RotationTransform(HEIGHT, WIDTH, 35)
    transforms = T.TransformList([flip, turn])
    _, moved = transform_poses(torch.zeros(20_000, 13, 3), drawn, transforms, BODY13)
    expected = transform_variances(std.square(), transforms, BODY13)[0]
    torch.testing.assert_close(moved.var(0), expected, atol=1e-4, rtol=0.05)
