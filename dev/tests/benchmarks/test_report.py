from __future__ import annotations

import pytest

from benchmarks.report import Table, insert, to_markdown

TABLE = Table("Speed", ("", "ms"), [("ours", 1.23456), ("theirs", 1234.5)], "A note.")


def test_numbers_have_three_digits() -> None:
    assert to_markdown([TABLE]).splitlines() == [
        *("**Speed**", "", "|  | ms |", "|---|---|", "| ours | 1.23 |", "| theirs | 1,234 |", "", "A note."),
    ]


PAGE = "before\n<!-- bench: a -->\nold\n<!-- end -->\nbetween\n<!-- bench: b -->\n<!-- end -->\nafter\n"


def test_a_table_takes_its_place_and_nothing_else() -> None:
    page = insert(insert(PAGE, "a", r"new \1"), "b", "first")
    assert page == PAGE.replace("old", r"new \1").replace("b -->\n", "b -->\nfirst\n")
    assert insert(page, "a", r"new \1") == page


def test_a_page_without_the_place_is_refused() -> None:
    with pytest.raises(ValueError, match="bench: c"):
        insert(PAGE, "c", "text")
