from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from lcrnet_d2.evaluation.report import markdown_table
from lcrnet_d2.reproduction.page import write_page, write_part
from lcrnet_d2.reproduction.pictures import new_figure, save_figure


def test_the_page_holds_every_part_and_needs_no_other_file(tmp_path: Path) -> None:
    figure = new_figure(2, 1)
    figure.subplots().plot([0, 1])
    save_figure(figure, tmp_path / "curve.png")
    write_part(tmp_path, "second", "# Second\n\n![a curve](curve.png)\n")
    write_part(tmp_path, "first", "# First\n\n" + markdown_table(["", "mm"], [["a & b", "1.0"]]))
    page = write_page(tmp_path, ["first", "second", "not made yet"]).read_text()
    assert page.index("<h1>First") < page.index("<h1>Second")
    assert "<td>a &amp; b</td>" in page and 'src="data:image/png;base64,' in page and "curve.png" not in page


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


def test_a_missing_picture_is_an_error(tmp_path: Path) -> None:
    write_part(tmp_path, "part", "![gone](gone.png)\n")
    with pytest.raises(FileNotFoundError, match="gone.png"):
        write_page(tmp_path, ["part"])
