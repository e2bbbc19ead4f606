"""The contenders of pose proposals integration agree, so that their times are comparable."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.ppi import IMAGE_SIZE, make_scene
from benchmarks.ppi_twins import integrate_group_by_group, integrate_over_lists
from lcrnet_d2 import integrate_pose_proposals


@pytest.mark.parametrize("seed", range(4))
def test_all_three_find_the_same_people(seed: int) -> None:
    scene = make_scene(300, people=4, seed=seed)
    ours = integrate_pose_proposals(*scene, IMAGE_SIZE)
    lists = integrate_over_lists(*(part.numpy() for part in scene), IMAGE_SIZE)
    groups = integrate_group_by_group(*scene, IMAGE_SIZE)
    assert len(ours.scores) == len(lists) == len(groups) > 0
    for i in range(len(lists)):
        for score, pose_2d, pose_3d in (lists[i], groups[i]):
            assert score == pytest.approx(ours.scores[i].item(), rel=1e-5)
            np.testing.assert_allclose(ours.poses_2d[i], pose_2d, atol=1e-2)
            np.testing.assert_allclose(ours.poses_3d[i], pose_3d, atol=1e-5)


def test_the_scene_has_as_many_people_as_asked() -> None:
    """Two modes of a person are 300 mm apart with 50 mm of noise: one of them is kept, so 8 people remain."""
    people = integrate_pose_proposals(*make_scene(2000, 8, seed=0), IMAGE_SIZE)
    assert len(people.scores) == 8 and len(torch.unique(people.groups)) == 8


def test_nobody() -> None:
    nothing = make_scene(0, 2, seed=0)
    assert integrate_over_lists(*(part.numpy() for part in nothing), IMAGE_SIZE) == []
    assert integrate_group_by_group(*nothing, IMAGE_SIZE) == []
