import numpy as np
import pytest

from lcrnet_d2.data.synthetic.articulation import BodyShape, sample_shape, sole_heights
from lcrnet_d2.data.synthetic.pose_families import FAMILIES
from lcrnet_d2.data.synthetic.pose_sampling import level_feet, sample_posed_body
from lcrnet_d2.structures import BODY13


def test_left_and_right_are_used_alike_and_no_two_poses_are():
    rng = np.random.default_rng(0)
    shape = BodyShape(1.7, 1.0, 0.31, 0.25, 0.16, 0.42, 0.42, 0.26, 0.18, 0.09, 0.49, 0.115)
    poses = np.stack([sample_posed_body(rng, shape)[0].joints() for _ in range(400)])
    poses -= poses[:, BODY13.torso].mean(1, keepdims=True)
    mirrored = poses[:, BODY13.flip_indices] * [-1, 1, 1]
    # The standard error of a mean of 400 joints that vary by 0.25 m is 12 mm, of a difference 18 mm.
    assert np.abs(poses.mean(0) - mirrored.mean(0)).max() < 0.07
    distances = np.linalg.norm(poses[:, None] - poses, axis=-1).mean(-1) + 10 * np.eye(400)
    assert distances.min() > 0.005


@pytest.mark.parametrize("family", ["standing", "crouching", "bending"])
def test_levelling_bends_the_longer_leg_until_both_feet_stand(family):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        shape, posture = sample_shape(rng), FAMILIES[family][0](rng)
        levelled = level_feet(shape, posture.angles)
        heights = sole_heights(shape, levelled)
        assert abs(heights[0] - heights[1]) < 0.015  # 90 degrees halved six times: 1.4 degrees of a 0.4 m shin
        assert (levelled.knee >= posture.angles.knee).all()
