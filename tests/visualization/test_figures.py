from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from PIL import Image

from lcrnet_d2.visualization.figures import new_figure, save_figure


def test_a_figure_of_so_many_inches_has_100_pixels_for_each(tmp_path: Path) -> None:
    figure = new_figure(2, 1)
    figure.subplots().plot([0, 1], color="red")
    save_figure(figure, tmp_path / "new folder" / "plot.png")
    with Image.open(tmp_path / "new folder" / "plot.png") as picture:
        assert picture.size == (200, 100) and picture.mode == "P"
        colours = picture.convert("RGB").getcolors()
    assert colours is not None and {(255, 255, 255), (255, 0, 0)} <= {colour for _, colour in colours}


def test_a_killed_writer_leaves_the_picture_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_figure(new_figure(1, 1), tmp_path / "plot.png")
    before = (tmp_path / "plot.png").read_bytes()

    def killed(image, target, **options) -> None:
        with target.open("wb") if isinstance(target, Path) else nullcontext(target) as file:
            file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("PIL.Image.Image.save", killed)
    with pytest.raises(KeyboardInterrupt):
        save_figure(new_figure(2, 2), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
