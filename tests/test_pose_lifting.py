from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.structures import Instances
from torch import nn

from lcrnet_d2 import PosePredictor
from lcrnet_d2.config import load_config
from lcrnet_d2.mocap import Lifter
from lcrnet_d2.pose_lifting import PoseLifting, WithPoseLifting, build_pose_lifting
from lcrnet_d2.structures import BODY13, COCO17, AnchorPoses, body_centre
from model_support import save_random_model, small_config
from tests_support import random_poses, seen_at, standing_pose


def sure_lifter(std: float) -> Lifter:
    """Says of everyone that they stand, each coordinate being off by `std` m."""
    lifter = Lifter(BODY13, width=16).eval()
    with torch.no_grad():
        lifter.last.weight.zero_()
        answer = torch.zeros(13, 8)
        answer[:, :3], answer[:, 3:6] = standing_pose(), np.log(std)
        lifter.last.bias.copy_(answer.flatten())
    return lifter


def output(count: int, x: float = 200.0) -> Instances:
    """A model's people in a picture of 400 x 300."""
    people = Instances((300, 400))
    points = seen_at(random_poses(count, seed=0), x, 150, 80)
    people.pred_keypoints = torch.cat([points, torch.ones(count, 13, 1)], -1)
    people.pred_poses_3d = random_poses(count, seed=1)
    people.scores = torch.arange(count).float()
    return people


def test_who_is_as_sure_as_the_network_counts_as_much() -> None:
    """Mirror images are lifted to mirror images, so that a standing lifter's mean is the symmetric standing pose."""
    before = output(3)
    lifted = PoseLifting(sure_lifter(0.1), own_std=0.1)(before)
    standing = sure_lifter(0.1).lift(torch.rand(1, 13, 2), torch.ones(1, 13)).poses_3d
    torch.testing.assert_close(lifted.pred_poses_3d, (before.pred_poses_3d + standing) / 2, atol=1e-5, rtol=0)
    assert torch.equal(lifted.pred_integrated_poses_3d, before.pred_poses_3d)
    assert torch.equal(lifted.pred_keypoints, before.pred_keypoints) and torch.equal(lifted.scores, before.scores)
    assert body_centre(lifted.pred_poses_3d, BODY13).abs().max() < 1e-5


@pytest.mark.parametrize(("std", "own_std", "lifters_share"), [(0.1, 0.2, 0.8), (0.1, 1e3, 1.0), (1e3, 0.1, 0.0)])
def test_shares_by_variance(std: float, own_std: float, lifters_share: float) -> None:
    before = output(2)
    lifted = PoseLifting(sure_lifter(std), own_std)(before).pred_poses_3d
    standing = sure_lifter(std).lift(torch.rand(1, 13, 2), torch.ones(1, 13)).poses_3d
    expected = lifters_share * standing + (1 - lifters_share) * before.pred_poses_3d
    torch.testing.assert_close(lifted, expected, atol=1e-4, rtol=0)


def test_who_is_hardly_in_the_picture_keeps_the_networks_3d() -> None:
    outside = output(2, x=900.0)
    lifted = PoseLifting(sure_lifter(0.01), own_std=1.0)(outside)
    assert torch.equal(lifted.pred_poses_3d, outside.pred_poses_3d)


def test_joints_without_heat_are_not_lifted() -> None:
    """Elsewhere they change nothing; with heat they do; without heat anywhere the network's 3D stays."""
    torch.manual_seed(0)
    lifting = PoseLifting(Lifter(BODY13, width=16).eval(), own_std=10.0)
    people, moved = output(2), output(2)
    wrist = BODY13.index("left_wrist")
    moved.pred_keypoints[:, wrist, 0] -= 50
    for least, same in ((0.1, True), (0.9, False)):
        for instances in (people, moved):
            instances.pred_joint_heats = torch.full((2, 13), 0.9)
            instances.pred_joint_heats[:, wrist] = least
        assert torch.equal(lifting(people).pred_poses_3d, lifting(moved).pred_poses_3d) == same
    people.pred_joint_heats = torch.zeros(2, 13)
    assert torch.equal(lifting(people).pred_poses_3d, people.pred_poses_3d)


def test_the_output_given_is_left_as_it_is_and_nobody_is_fine() -> None:
    before = output(2)
    kept = before.pred_poses_3d.clone()
    PoseLifting(sure_lifter(0.1), 0.1)(before)
    assert torch.equal(before.pred_poses_3d, kept)
    assert PoseLifting(sure_lifter(0.1), 0.1)(output(0)).pred_poses_3d.shape == (0, 13, 3)


def test_in_a_networks_place() -> None:
    class Network(nn.Module):
        def forward(self, inputs: list[dict]) -> list[dict]:
            return [{"instances": output(count["people"]), "other": 7} for count in inputs]

    lifting = PoseLifting(sure_lifter(0.1), 0.1)
    network = WithPoseLifting(Network().eval(), lifting)
    outputs = network([{"people": 2}, {"people": 0}])
    assert torch.equal(outputs[0]["instances"].pred_poses_3d, lifting(output(2)).pred_poses_3d)
    assert outputs[0]["other"] == 7 and len(outputs[1]["instances"]) == 0 and not network.training


def test_the_predictor_lifts(tmp_path: Path, anchors: AnchorPoses) -> None:
    sure_lifter(1e-3).save(tmp_path / "lifter.npz")
    cfg = small_config(save_random_model(tmp_path, anchors))
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    own = PosePredictor(cfg)(image)
    cfg.TEST.LCRNET.LIFTER = str(tmp_path / "lifter.npz")
    lifted = PosePredictor(cfg)(image)
    np.testing.assert_allclose(lifted.keypoints_2d, own.keypoints_2d)
    expected = PoseLifting(Lifter.load(tmp_path / "lifter.npz"), cfg.TEST.LCRNET.OWN_3D_STD).lifted(
        torch.from_numpy(own.keypoints_2d), torch.from_numpy(own.poses_3d), own.image_size
    )
    np.testing.assert_allclose(lifted.poses_3d, expected.numpy(), atol=1e-5)
    assert len(own) and np.abs(lifted.poses_3d - own.poses_3d).max() > 0.01


def test_the_packages_lifter_and_what_cannot_be() -> None:
    def built(*opts: object) -> PoseLifting | None:
        return build_pose_lifting(load_config("Base-LCRNet-Lite0-FPN.yaml", list(opts)))

    assert built() is None
    packaged = built("TEST.LCRNET.LIFTER", "lifter_cmu")
    assert packaged is not None and packaged.lifter.skeleton == BODY13 and packaged.own_std == 0.15
    with pytest.raises(FileNotFoundError, match="no lifter at nowhere"):
        built("TEST.LCRNET.LIFTER", "nowhere")
    with pytest.raises(ValueError, match="lifts BODY13, the model finds COCO17"):
        built("TEST.LCRNET.LIFTER", "lifter_cmu", "MODEL.LCRNET.SKELETON", COCO17.name)
    with pytest.raises(ValueError, match="OWN_3D_STD is 0.0"):
        built("TEST.LCRNET.LIFTER", "lifter_cmu", "TEST.LCRNET.OWN_3D_STD", 0.0)
