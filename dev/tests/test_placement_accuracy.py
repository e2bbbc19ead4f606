from __future__ import annotations

from pathlib import Path

import pytest

import placement_accuracy


def test_a_table_and_a_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    placement_accuracy.main(["--scenes", "6", "--output", str(tmp_path / "new" / "placement.png")])
    rows = capsys.readouterr().out.splitlines()
    assert "people in 6 scenes" in rows[0] and rows[2].startswith("  0 px   0.00 %")
    assert len(rows) == 2 + len(placement_accuracy.NOISES)
    assert (tmp_path / "new" / "placement.png").stat().st_size > 5000
