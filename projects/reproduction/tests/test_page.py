from __future__ import annotations

from pathlib import Path

import pytest

from lcrnet_d2.evaluation.report import markdown_table
from lcrnet_d2.visualization.figures import new_figure, save_figure
from reproduction.page import write_page, write_part


def test_the_page_holds_every_part_and_needs_no_other_file(tmp_path: Path) -> None:
    figure = new_figure(2, 1)
    figure.subplots().plot([0, 1])
    save_figure(figure, tmp_path / "curve.png")
    write_part(tmp_path, "second", "# Second\n\n![a curve](curve.png)\n")
    write_part(tmp_path, "first", "# First\n\n" + markdown_table(["", "mm"], [["a & b", "1.0"]]))
    page = write_page(tmp_path, ["first", "second", "not made yet"]).read_text()
    assert page.index("<h1>First") < page.index("<h1>Second")
    assert "<td>a &amp; b</td>" in page and 'src="data:image/png;base64,' in page and "curve.png" not in page


def test_a_missing_picture_is_an_error(tmp_path: Path) -> None:
    write_part(tmp_path, "part", "![gone](gone.png)\n")
    with pytest.raises(FileNotFoundError, match="gone.png"):
        write_page(tmp_path, ["part"])
