from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import compare_resizing


def test_pillow_and_opencv_agree_where_images_grow_and_not_where_they_shrink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Noise reduced to a third: Pillow averages it away, OpenCV takes four of nine pixels."""
    for name, size in (("small", (160, 200)), ("large", (1200, 1500))):
        noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / "small.png"), str(tmp_path / "large.png")]
    monkeypatch.setattr("sys.argv", ["compare_resizing.py", *files])
    compare_resizing.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" to ")[0] for line in lines] == [
        "FPN, 200 x 160", "FPN, 1500 x 1200", "C4, 200 x 160", "C4, 1500 x 1200",
    ]  # fmt: skip
    largest = [int(re.findall(r"at most (\d+)", line)[0]) for line in lines]
    assert max(largest[0::2]) <= 2 and min(largest[1::2]) > 50
