"""A topic is what most of the imports speak for."""

from __future__ import annotations

import pytest

from hornbook.text.topics import NOTHING, OTHER, TOPICS, origin, topic


@pytest.mark.parametrize(
    ("text", "tags", "said"),
    [
        ("import numpy as np\nfrom pandas.core import frame\nimport os\n", (), "numbers and data"),
        ("def f():\n    import sqlite3\n", (), "databases"),
        (">>> from heapq import heappush\n", (), "algorithms"),
        ("from __future__ import annotations\nfrom typing import Any\nx = 1\n", (), NOTHING),
        ("from . import near\n", (), NOTHING),
        ("import somebodys_own\n", (), OTHER),
        ("How do I plot this?\n", ("matplotlib", "python"), "graphics and interfaces"),
        ("import os\nimport re\n", (), "files and system"),
    ],
)
def test_the_topic_of_a_text(text: str, tags: tuple[str, ...], said: str) -> None:
    assert topic(text, tags) == said


def test_no_module_speaks_for_two_topics() -> None:
    modules = [module for names in TOPICS.values() for module in names]
    assert len(modules) == len(set(modules))


def test_a_document_belongs_to_its_package_its_repository_or_its_folder() -> None:
    assert origin("a/b.py", {"package": "p", "repository": "r"}) == "p"
    assert origin("a/b.py", {"repository": "r"}) == "r"
    assert origin("a/b.py", {}) == "a"
    assert origin("a/b/c.py", {}) == origin("a/b/d/e.py", {}) == "a/b"
    assert origin("a/b.jsonl:17", {}) == "a"
    assert origin("rows.jsonl:17", {}) == origin("rows.jsonl:18", {}) == "rows.jsonl"
