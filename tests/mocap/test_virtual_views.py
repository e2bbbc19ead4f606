import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lcrnet_d2.mocap import ViewBase, ViewRanges, random_views
from lcrnet_d2.mocap.virtual_views import view_rotations
from lcrnet_d2.structures import BODY13, body_centre, pose_distance
from tests_support import random_poses, standing_pose


def view(azimuth: float, elevation: float, roll: float) -> torch.Tensor:
    """(J, 3) the standing person seen by one camera, degrees."""
    angles = torch.deg2rad(torch.tensor([[azimuth, elevation, roll]]))
    return ViewBase(standing_pose()[None], torch.zeros(1, dtype=torch.long), angles).oriented(slice(None))[0]


def test_straight_on_is_the_pose_itself() -> None:
    assert torch.allclose(view(0, 0, 0), standing_pose())


def test_from_behind_left_and_right_change_places() -> None:
    seen, head = view(180, 0, 0), BODY13.index("head")
    assert torch.allclose(seen[:, 0], -standing_pose()[:, 0], atol=1e-6)
    assert seen[head, 1] == standing_pose()[head, 1]


def test_from_above_the_head_is_nearer_and_the_body_shorter() -> None:
    seen, pose = view(0, 60, 0), standing_pose()
    head, ankle = BODY13.index("head"), BODY13.index("left_ankle")
    assert seen[head, 2] < seen[ankle, 2] - 1.0  # z away from the camera
    assert seen[ankle, 1] - seen[head, 1] == pytest.approx(float((pose[ankle, 1] - pose[head, 1]) / 2), abs=0.02)


def test_roll_turns_the_picture() -> None:
    seen, pose = view(0, 0, 90), standing_pose()
    assert torch.allclose(seen[:, 0], -pose[:, 1], atol=1e-6) and torch.allclose(seen[:, 1], pose[:, 0], atol=1e-6)


def test_views_are_rotations_in_the_ranges() -> None:
    ranges = ViewRanges(elevation=(10, 20), roll=(0, 0))
    views = random_views(random_poses(7, seed=0), 500, torch.Generator().manual_seed(0), ranges)
    rotations = view_rotations(views.angles)
    assert torch.allclose(rotations @ rotations.transpose(1, 2), torch.eye(3).expand(500, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotations), torch.ones(500), atol=1e-5)
    degrees = torch.rad2deg(views.angles)
    assert ((degrees[:, 1] >= 10) & (degrees[:, 1] <= 20)).all() and (degrees[:, 2] == 0).all()
    assert degrees[:, 0].min() < 20 and degrees[:, 0].max() > 340  # the full circle


def test_every_pose_is_seen_equally_often() -> None:
    views = random_views(random_poses(7, seed=0), 24, torch.Generator().manual_seed(0))
    counts = views.pose_index.bincount(minlength=7)
    assert sorted(counts.tolist()) == [3, 3, 3, 3, 4, 4, 4]


def test_the_seed_decides() -> None:
    poses = random_poses(7, seed=0)
    first, again, other = (random_views(poses, 24, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.angles, again.angles) and not torch.equal(first.angles, other.angles)


def test_views_keep_shapes_and_the_body_centre() -> None:
    views = random_views(random_poses(7, seed=0), 24, torch.Generator().manual_seed(0))
    oriented = views.oriented(slice(None))
    assert body_centre(oriented, BODY13).abs().max() < 1e-5
    assert torch.equal(views.poses_2d(slice(3, 9)), oriented[3:9, :, :2])
    bones = [
        (o[:, a] - o[:, b]).norm(dim=-1) for o in (oriented, views.poses_3d[views.pose_index]) for a, b in [(0, 2)]
    ]
    assert torch.allclose(bones[0], bones[1], atol=1e-5)
    assert pose_distance(oriented[:1], views.poses_3d[:1]).item() > 0


@pytest.mark.parametrize("limits", [(10.0, -10.0), (0.0, math.nan)])
def test_impossible_ranges_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="elevation from"):
        ViewRanges(elevation=limits)


def test_no_poses_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one view"):
        random_views(torch.zeros(0, 13, 3), 5, torch.Generator())


_ANGLE = st.floats(-50, 50)


@given(angles=st.tuples(_ANGLE, _ANGLE, _ANGLE), further=_ANGLE)
def test_any_angles_are_a_rotation_and_azimuths_add_up(angles: tuple[float, float, float], further: float) -> None:
    start = torch.tensor(angles, dtype=torch.float64)
    turn = view_rotations(start)
    torch.testing.assert_close(turn @ turn.T, torch.eye(3).double(), atol=1e-12, rtol=0)
    assert torch.det(turn).item() == pytest.approx(1)
    more = torch.tensor([further, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(view_rotations(start + more), turn @ view_rotations(more), atol=1e-12, rtol=0)


def test_rotations_of_any_shape_and_of_nothing() -> None:
    angles = torch.randn(4, 5, 3)
    torch.testing.assert_close(view_rotations(angles)[2, 3], view_rotations(angles[2, 3]))
    assert view_rotations(angles[:0]).shape == (0, 5, 3, 3)


def test_a_pose_that_is_no_number_spares_the_views_of_others() -> None:
    poses = random_poses(3, seed=0)
    poses[1, 5, 0] = torch.nan
    views = random_views(poses, 12, torch.Generator().manual_seed(0))
    spoilt = ~torch.isfinite(views.poses_2d(slice(None))).flatten(1).all(1)
    assert torch.equal(spoilt, views.pose_index == 1)
    assert views.oriented(torch.zeros(0, dtype=torch.long)).shape == (0, 13, 3)
