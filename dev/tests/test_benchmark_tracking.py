from __future__ import annotations

import numpy as np
import pytest

import benchmark_tracking


def test_hardly_anybody_is_mixed_up(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark_tracking.main(["--clips", "1"])
    words = capsys.readouterr().out.split()
    swaps, detections = int(words[1]), int(words[4])
    assert detections > 300 and swaps < 0.02 * detections


def test_swaps_are_counted_by_person() -> None:
    """Two people for three frames; the second frame swaps them: two swaps there, two more on the way back."""
    frame = benchmark_tracking.Frame(np.zeros((2, 13, 2)), [(0, 0), (1, 0)])
    answers = iter([[0, 1], [1, 0], [0, 1]])
    assert benchmark_tracking.count_swaps([frame] * 3, lambda points: next(answers)) == (4, 6)
    assert benchmark_tracking.count_swaps([frame], lambda points: [-1, 3]) == (0, 1)
