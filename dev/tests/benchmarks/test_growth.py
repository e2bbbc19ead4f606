from __future__ import annotations

import pytest

from benchmarks.growth import law


def test_a_straight_line_is_found() -> None:
    constant, slope, _ = law([1, 2, 5], [3 + 2 * x for x in (1, 2, 5)])
    assert (constant, slope) == pytest.approx((3, 2))


def test_a_power_is_found() -> None:
    assert law([1, 2, 4], [5, 20, 80])[2] == pytest.approx(2)
