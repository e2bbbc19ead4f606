"""Every file that the documentation names is there: links with their headings, scripts and configs in commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "datasets/*.md", "dev/*.md", "projects/*/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # also names what is gone
)
#: Tells what was run, with files and headings that have gone since.
HISTORY = ROOT / "docs" / "notes" / "training_log.md"
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"(?<![\w/.-])((?:tools|datasets|dev|projects|configs)/[\w/.-]+\.(?:py|sh|yaml))(?![\w{*])")


def headings(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert not heading or page == HISTORY or heading in headings(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", [p for p in PAGES if p != HISTORY], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_scripts_and_configs_are_there(page: Path) -> None:
    missing = [name for name in NAMED.findall(page.read_text()) if not (ROOT / name).exists()]
    assert not missing


def test_photos_name_their_licence_and_address() -> None:
    samples = ROOT / "docs" / "samples"
    rows = (samples / "README.md").read_text().splitlines()
    photos = [path.name for path in samples.glob("*.jpg")]
    assert photos and "creativecommons.org/licenses/by/2.0" in "".join(rows)
    for photo in photos:
        (row,) = [row for row in rows if photo in row]
        assert "staticflickr.com" in row
