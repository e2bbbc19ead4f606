from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lcrnet_d2.mocap.lifter import Lifter, is_liftable, joint_trust, normalised
from lcrnet_d2.structures import BODY13, COCO17, Skeleton, body_centre, mirror_poses_3d
from tests_support import random_poses, seen_at

J = len(BODY13)


def lifter(skeleton: Skeleton = BODY13, seed: int = 0) -> Lifter:
    """Small and untrained: what must hold whatever the weights are."""
    torch.manual_seed(seed)
    return Lifter(skeleton, width=32).eval()


def queries(count: int, seed: int = 0, skeleton: Skeleton = BODY13) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """2D poses in images of 400 x 300, trust with joints missing, sizes."""
    poses_2d = seen_at(random_poses(count, seed, skeleton), 220, 150, 100)
    generator = torch.Generator().manual_seed(seed)
    annotated = torch.rand(count, len(skeleton), generator=generator) < 0.7
    annotated[:, skeleton.torso] = True
    return poses_2d, joint_trust(annotated, 0.02), torch.tensor([[300.0, 400.0]]).expand(count, 2)


def test_who_can_be_lifted() -> None:
    def annotated(*names: str) -> torch.Tensor:
        mask = torch.zeros(1, J, dtype=torch.bool)
        mask[0, BODY13.indices(names)] = True
        return mask

    portrait = annotated("head", "left_shoulder", "right_shoulder", "left_elbow")
    legs = annotated("left_hip", "left_knee", "right_knee", "left_ankle")
    few = annotated("left_hip", "right_hip", "left_shoulder")
    assert [bool(is_liftable(mask, BODY13)) for mask in (portrait, legs, few)] == [True, False, False]


def test_trust_falls_with_noise() -> None:
    annotated = torch.tensor([[True, True, True, False]])
    noise = torch.tensor([[0.0, 0.05, 0.1, 0.0]])
    torch.testing.assert_close(joint_trust(annotated, noise), torch.tensor([[1.0, 0.5, 0.2, 0.0]]))


def test_normalised_poses_by_hand() -> None:
    """Joints at (10, 20) and (16, 28), 5 px from their mean each; what is not annotated may be anything."""
    points = torch.tensor([[[10.0, 20.0], [16.0, 28.0], [torch.nan, 1e9]]])
    out, mean, extent = normalised(points, torch.tensor([[1.0, 0.3, 0.0]]))
    assert mean.tolist() == [[[13.0, 24.0]]] and extent.item() == pytest.approx(5)
    torch.testing.assert_close(out, torch.tensor([[[-0.6, -0.8], [0.6, 0.8], [0.0, 0.0]]]))


def test_missing_joints_are_completed_and_their_coordinates_ignored() -> None:
    poses_2d, trust, sizes = queries(8)
    lifted = lifter().lift(poses_2d, trust, sizes)
    nonsense = torch.where((trust > 0)[..., None], poses_2d, torch.nan)
    again = lifter().lift(nonsense, trust, sizes)
    for a, b in zip(lifted, again, strict=True):
        assert torch.equal(a, b) and torch.isfinite(a).all()
    assert torch.equal(lifted.poses_2d[trust > 0], poses_2d[trust > 0])
    assert not torch.equal(lifted.poses_2d[trust == 0], poses_2d[trust == 0])
    assert body_centre(lifted.poses_3d, BODY13).abs().max() < 1e-5 and (lifted.std > 0).all()


@given(seed=st.integers(0, 50), scale=st.floats(0.2, 5), x=st.floats(-500, 500))
def test_without_an_image_neither_place_nor_size_in_px_matters(seed: int, scale: float, x: float) -> None:
    poses_2d, trust, _ = queries(3, seed)
    here, there = (lifter().lift(points, trust) for points in (poses_2d, scale * poses_2d + x))
    torch.testing.assert_close(here.poses_3d, there.poses_3d, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(scale * here.poses_2d + x, there.poses_2d, atol=0.5, rtol=1e-3)


def test_with_an_image_the_place_matters() -> None:
    poses_2d, trust, sizes = queries(3)
    here, there = (lifter().lift(points, trust, sizes).poses_3d for points in (poses_2d, poses_2d + 60))
    assert (here - there).abs().max() > 1e-3


@pytest.mark.parametrize("skeleton", [BODY13, COCO17], ids=lambda s: s.name)
def test_mirror_images_are_lifted_to_mirror_images(skeleton: Skeleton) -> None:
    poses_2d, trust, sizes = queries(5, skeleton=skeleton)
    mirrored = (poses_2d * torch.tensor([-1.0, 1.0]) + torch.tensor([400.0, 0.0]))[:, skeleton.flip_indices]
    here = lifter(skeleton).lift(poses_2d, trust, sizes)
    there = lifter(skeleton).lift(mirrored, trust[:, skeleton.flip_indices], sizes)
    torch.testing.assert_close(there.poses_3d, mirror_poses_3d(here.poses_3d, skeleton), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(there.std, here.std[:, skeleton.flip_indices], atol=1e-5, rtol=1e-4)


def test_people_do_not_depend_on_each_other_and_nobody_is_fine() -> None:
    poses_2d, trust, sizes = queries(4)
    together, alone = lifter().lift(poses_2d, trust, sizes), lifter().lift(poses_2d[2:3], trust[2:3], sizes[2:3])
    torch.testing.assert_close(together.poses_3d[2:3], alone.poses_3d)
    nobody = lifter().lift(poses_2d[:0], trust[:0], sizes[:0])
    assert nobody.poses_3d.shape == nobody.std.shape == (0, J, 3) and nobody.poses_2d.shape == (0, J, 2)


def test_what_cannot_be_lifted_is_refused() -> None:
    poses_2d, trust, sizes = queries(2)
    with pytest.raises(ValueError, match=r"expected \(N, J, 2\)"):
        lifter().lift(poses_2d[:, 1:], trust, sizes)
    poses_2d[1, BODY13.torso[0]] = torch.nan
    with pytest.raises(ValueError, match="2D pose 1 has an annotated joint that is not finite"):
        lifter().lift(poses_2d, trust, sizes)


def test_calibration_scales_each_axis() -> None:
    poses_2d, trust, sizes = queries(2)
    network = lifter()
    before = network.lift(poses_2d, trust, sizes)
    network.scale_std(torch.tensor([1.0, 2.0, 0.5]))
    after = network.lift(poses_2d, trust, sizes)
    torch.testing.assert_close(after.std, before.std * torch.tensor([1.0, 2.0, 0.5]))
    assert torch.equal(after.poses_3d, before.poses_3d)


def test_saved_and_loaded_it_lifts_alike(tmp_path: Path) -> None:
    network = lifter()
    network.save(tmp_path / "lifter.npz")
    poses_2d, trust, sizes = queries(6)
    loaded = Lifter.load(tmp_path / "lifter.npz")
    for a, b in zip(network.lift(poses_2d, trust, sizes), loaded.lift(poses_2d, trust, sizes), strict=True):
        torch.testing.assert_close(a, b, atol=2e-2, rtol=1e-2)  # half precision


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 7}, "version 7"),
        ({"joint_names": np.array(["tail"])}, "not those of a known skeleton"),
        ({"width": 10**7}, "of width 10000000"),
        ({"first.weight": np.full((32, 3 * J + 4), np.nan)}, r"first.weight is not \(32, 43\) finite numbers"),
        ({"first.weight": np.zeros((2, 2))}, r"first.weight is not \(32, 43\)"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, change: dict, message: str) -> None:
    lifter().save(tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as file:
        np.savez(tmp_path / "bad.npz", **({name: file[name] for name in file.files} | change))
    with pytest.raises(ValueError, match=f"bad.npz is not a lifter.*{message}"):
        Lifter.load(tmp_path / "bad.npz")


def test_no_file_and_half_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="train_lifter"):
        Lifter.load(tmp_path / "none.npz")
    lifter().save(tmp_path / "good.npz")
    (tmp_path / "half.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:2000])
    with pytest.raises(ValueError, match="is not a lifter"):
        Lifter.load(tmp_path / "half.npz")
