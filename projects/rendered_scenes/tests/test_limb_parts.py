"""Turns between directions."""

from __future__ import annotations

import numpy as np
import pytest

from rendered_scenes.limb_parts import turn_between


def test_the_smallest_turn_between_directions() -> None:
    turn = turn_between(np.array([2.0, 0, 0]), np.array([0, 0.5, 0]))
    np.testing.assert_allclose(turn @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(turn @ [0, 0, 1], [0, 0, 1], atol=1e-12)  # about z, and nothing else
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("start", [[1.0, 0, 0], [0, 2.0, 0], [0, 0, 1.0], [1.0, -2.0, 3.0]])
def test_opposite_directions_have_a_turn_too(start: list[float]) -> None:
    turn = turn_between(np.array(start), -0.5 * np.array(start))
    np.testing.assert_allclose(turn @ start, -np.array(start), atol=1e-12)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
