"""A page: where it ends, what becomes of its code, and why it is dropped."""

from __future__ import annotations

import pytest

from hornbook.stages.textbooks.writer import trim


@pytest.mark.parametrize(
    ("text", "truncated", "expected"),
    [
        ("It is so. And then th", True, "It is so."),
        (
            "All of it.\n```python\nx = 1\n```\nIt is. And th",
            True,
            "All of it.\n```python\nx = 1\n```\nIt is.",
        ),
        ("All of it.\n```python\nx = 1\n```\nIt i", True, "All of it.\n```python\nx = 1\n```"),
        ("See. Look:\n```python\nx = 1.5\ny =", True, "See. Look:"),
        ("Look:\n```python\nx = 1", False, "Look:\n```python\nx = 1\n```"),
        ("Whole, with no end mark", False, "Whole, with no end mark"),
    ],
)
def test_a_cut_off_page_ends_where_it_should(text: str, truncated: bool, expected: str) -> None:
    assert trim(text, truncated) == expected
