"""The report: one Markdown file per table or figure, and one HTML page of all of them with the pictures inside."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from pathlib import Path

from lcrnet_d2.structures.whole_files import write_text

__all__ = ["write_page", "write_part"]

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}th,td{border:1px solid #ccc;padding:.2em .6em}"
    "img{max-width:100%}"
)


def write_part(folder: Path, name: str, markdown: str) -> None:
    """Writes folder/name.md; its pictures lie beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{name}.md", markdown)


def write_page(folder: Path, names: Sequence[str]) -> Path:
    """Writes folder/index.html of those parts that are there, in this order; it needs no other file.

    Raises:
        FileNotFoundError: a part shows a picture that is not there.
    """
    from markdown import markdown

    parts = [folder / f"{name}.md" for name in names]
    text = "\n\n".join(part.read_text() for part in parts if part.is_file())
    html = markdown(text, extensions=["tables"])
    body = re.sub(r'src="([^":]+\.png)"', lambda match: f'src="{_inlined(folder / match[1])}"', html)
    page = folder / "index.html"
    head = f'<meta charset="utf-8"><title>LCR-Net: tables and figures</title><style>{_STYLE}</style>'
    write_text(page, f"<!doctype html><html><head>{head}</head><body>{body}</body></html>")
    return page


def _inlined(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
