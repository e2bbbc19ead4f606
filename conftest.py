"""Fixtures that several rooms share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import settings

from lcrnet_d2.data.anchor_clustering import cluster_poses
from lcrnet_d2.structures import BODY13, AnchorPoses
from tests_support import random_poses, seen_at

# Hypothesis fails an example that takes more than 200 ms, which a busy machine makes of any.
settings.register_profile("lcrnet_d2", deadline=None, max_examples=40)
settings.load_profile("lcrnet_d2")


def pytest_runtest_setup() -> None:
    """Every test draws the same numbers whenever and wherever it runs."""
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def anchors() -> AnchorPoses:
    """K = 4 anchor poses with upper-body classes."""
    poses = random_poses(200, seed=0)
    return cluster_poses(seen_at(poses, 100, 100, 80), poses, BODY13, 4, True, seed=0)


@pytest.fixture(scope="session")
def full_body_anchors() -> AnchorPoses:
    """K = 4, full bodies alone."""
    poses = random_poses(200, seed=0)
    return cluster_poses(seen_at(poses, 100, 100, 80), poses, BODY13, 4, False, seed=0)
