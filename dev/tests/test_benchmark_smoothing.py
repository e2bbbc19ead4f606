from __future__ import annotations

import numpy as np
import pytest

import benchmark_smoothing


def test_the_figures_of_the_manual(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/outputs.md: still joints gain, fast swings lose."""
    still, slow, fast = (benchmark_smoothing.measure(frequency, 100) for frequency in (0.0, 0.5, 1.25))
    assert still.error == pytest.approx(0.53, abs=0.02) and still.jitter == pytest.approx(0.31, abs=0.02)
    assert slow.error == pytest.approx(0.83, abs=0.02) and slow.lag <= 2
    assert fast.error == pytest.approx(1.37, abs=0.02) and fast.jitter < 1
    benchmark_smoothing.main(["--joints", "5"])
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(benchmark_smoothing.FREQUENCIES)


def test_lag_by_hand() -> None:
    true = np.sin(np.arange(60) / 5)[:, None]
    assert benchmark_smoothing.lag_frames(np.roll(true, 3, axis=0), true) == 3
