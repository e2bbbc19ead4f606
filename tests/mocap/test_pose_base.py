import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lcrnet_d2.mocap import PoseBase, distinct_poses, even_weights
from lcrnet_d2.mocap.virtual_views import view_rotations
from lcrnet_d2.structures import BODY13, body_centre, pose_distance
from lcrnet_d2.structures.pose_geometry import without_heading
from sources.mocap.take import Take
from sources.mocap.takes import pose_base_of
from tests_support import random_poses


def turned(poses: torch.Tensor, degrees: float) -> torch.Tensor:
    """Poses turned about the vertical."""
    return poses @ view_rotations(torch.deg2rad(torch.tensor([[degrees, 0.0, 0.0]])))[0].T


def base_of(count: int) -> PoseBase:
    poses = random_poses(count, seed=0).double().numpy() + [1.0, 2.0, 3.0]
    takes = [
        Take(poses[:2], np.array([5, 17]), 120.0, "cmu/02/02_01.amc"),
        Take(poses[2:], np.arange(1, count - 1), 60.0, "hdm05/HDM_bd_squat_001.amc"),
    ]
    return pose_base_of(takes)


def test_poses_are_centred_and_keep_their_origin() -> None:
    base = base_of(6)
    assert len(base) == 6 and body_centre(base.poses_3d, BODY13).abs().max() < 1e-6
    assert base.take_index.tolist() == [0, 0, 1, 1, 1, 1] and base.frames.tolist() == [5, 17, 1, 2, 3, 4]
    assert base.subjects == ("CMU_02", "HDM05_bd") and base.fps == (120.0, 60.0)


def test_selecting_keeps_what_belongs_together() -> None:
    base = base_of(6)
    part = base.select(torch.tensor([1, 4]))
    assert part.frames.tolist() == [17, 3] and torch.equal(part.poses_3d, base.poses_3d[[1, 4]])
    assert base.of_subjects({"HDM05_bd"}).tolist() == [False, False, True, True, True, True]


def test_saved_and_loaded_is_the_same(tmp_path) -> None:
    base = base_of(6)
    base.save(tmp_path / "poses.npz")
    again = PoseBase.load(tmp_path / "poses.npz")
    assert torch.equal(again.poses_3d, base.poses_3d) and torch.equal(again.frames, base.frames)
    assert (again.sources, again.subjects, again.fps) == (base.sources, base.subjects, base.fps)
    with np.load(tmp_path / "poses.npz") as file:
        assert file["joint_names"].tolist() == list(BODY13.joints) and str(file["units"]).startswith("m, x right")


def test_damaged_files_are_refused(tmp_path) -> None:
    path = tmp_path / "poses.npz"
    with pytest.raises(FileNotFoundError, match="prepare_mocap"):
        PoseBase.load(path)
    base_of(6).save(path)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"nonsense"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"poses\.npz is not a file of MoCap poses"):
            PoseBase.load(path)
    np.savez(path, version=1, joint_names=np.array(["head"]))
    with pytest.raises(ValueError, match="its joints are"):
        PoseBase.load(path)


def test_no_takes_give_an_empty_base(tmp_path) -> None:
    base = pose_base_of([])
    base.save(tmp_path / "poses.npz")
    assert len(PoseBase.load(tmp_path / "poses.npz")) == 0 and len(distinct_poses(base.poses_3d, 0.03)) == 0


@given(st.floats(-180, 180))
@settings(max_examples=20)
def test_the_heading_does_not_matter(degrees: float) -> None:
    poses = random_poses(5, seed=1)
    assert torch.allclose(without_heading(turned(poses, degrees), BODY13), without_heading(poses, BODY13), atol=1e-5)
    assert torch.allclose(without_heading(poses, BODY13)[..., 1], poses[..., 1])  # upside down stays upside down


def test_of_near_duplicates_the_first_is_kept() -> None:
    pose = random_poses(1, seed=0)
    # joint 0 (an ankle, no part of the body centre) moved by 13 * 20 mm: D = 20 mm
    near, far = pose.clone(), pose.clone()
    near[0, 0, 1] += 13 * 0.020
    far[0, 0, 1] += 13 * 0.040
    poses = torch.cat([pose, near, turned(pose, 77.0), far])
    assert distinct_poses(poses, 0.03).tolist() == [0, 3]
    assert distinct_poses(poses, 0.015).tolist() == [0, 1, 3]
    assert distinct_poses(poses, 0.0).tolist() == [0, 1, 2, 3]


def test_against_a_slow_twin() -> None:
    """Several blocks; kept poses are apart, and dropped ones near one kept before them."""
    generator = torch.Generator().manual_seed(0)
    poses = random_poses(40, seed=2).repeat_interleave(20, 0)
    poses = poses + 0.02 * torch.randn(poses.shape, generator=generator)
    poses = poses[torch.randperm(len(poses), generator=generator)]
    distance = pose_distance(without_heading(poses, BODY13), without_heading(poses, BODY13))
    kept: list[int] = []
    for i in range(len(poses)):
        if all(distance[i, k] >= 0.04 for k in kept):
            kept.append(i)
    assert 40 < len(kept) < 800
    assert distinct_poses(poses, 0.04).tolist() == kept


def test_rare_poses_weigh_more() -> None:
    rng = np.random.default_rng(0)
    standing, lying = rng.normal(0, 0.3, (2, 13, 3))
    poses = np.concatenate([np.repeat(standing[None], 96, 0), np.repeat(lying[None], 4, 0)])
    weights = even_weights(torch.from_numpy(poses + rng.normal(0, 1e-4, poses.shape)).float(), clusters=2)
    assert weights.sum().item() == pytest.approx(1)
    assert weights[-4:].sum().item() == pytest.approx(np.sqrt(4) / (np.sqrt(4) + np.sqrt(96)), abs=1e-6)
