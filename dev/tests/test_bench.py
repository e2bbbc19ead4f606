from __future__ import annotations

import json
from pathlib import Path

import pytest

import bench
from benchmarks import CONTESTS


def test_measures_what_is_asked_for_and_keeps_the_rest(tmp_path: Path) -> None:
    page, output = tmp_path / "page.md", tmp_path / "new" / "bench.json"
    page.write_text("".join(f"# {name}\n<!-- bench: {name} -->\n<!-- end -->\n" for name in CONTESTS))
    for name in ("ppi", "decode"):
        assert bench.main(["--quick", "--only", name, "--page", str(page), "--output", str(output)]) == 0
    results = json.loads(output.read_text())
    assert list(results) == ["ppi", "decode"] and results["ppi"]["where"]["quick"] is True
    rows = [row for table in results["ppi"]["tables"] for row in table["rows"]]
    assert {row[""] for row in rows} == {"ours", "plain torch", "numpy, lists"}
    text = page.read_text()
    assert "60 proposals of 8 people" in text and text.index("# decode") < text.index("every pair")


@pytest.mark.parametrize("name", [name for name in CONTESTS if name not in ("ppi", "decode", "startup")])
def test_every_contest_runs(name: str, tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    bench.main(["--quick", "--only", name, "--device", "cpu", "--page", "", "--output", str(output)])
    assert json.loads(output.read_text())[name]["tables"]


def test_the_page_has_a_place_for_every_contest() -> None:
    text = (bench.ROOT / "docs" / "notes" / "benchmarks.md").read_text()
    assert [name for name in CONTESTS if text.count(f"<!-- bench: {name} -->") != 1] == []
