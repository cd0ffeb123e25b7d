"""The shipped classifier: its features, what it prefers, and that fitting it again gives the same trees."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from hornbook.core.context import Tools
from hornbook.core.records import Document
from hornbook.core.shards import KEPT, read_json, read_table, shard_name, write_shard
from hornbook.stages.filter import classify, features, shipped
from hornbook.stages.filter.config import FilterConfig
from hornbook.stages.filter.lexical import LEXICAL, Text, lexical_features
from hornbook.stages.filter.parsed import PARSED, parsed_features

GOLD = Path(__file__).parents[3] / ".." / "shared" / "data" / "gold_labels.jsonl.gz"
LESSON = '''"""Search a sorted list by halving it."""


def binary_search(items, wanted):
    """Return the index of wanted in the sorted list items, or -1.

    >>> binary_search([1, 3, 5], 3)
    1
    """
    low, high = 0, len(items) - 1
    while low <= high:
        middle = (low + high) // 2
        if items[middle] == wanted:
            return middle
        if items[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return -1


if __name__ == "__main__":
    print(binary_search([1, 3, 5, 7], 5))
'''
PLUMBING = """# Licensed under the Apache License
from .base import Client, Server
from .errors import ProjectError
from project.settings import load_settings

__all__ = ["Client", "Server", "ProjectError", "load_settings"]
"""
TEST = """import pytest
from project.client import Client


@pytest.fixture
def client():
    return Client()


def test_it_connects(client):
    assert client.connect() is client
"""


@pytest.mark.parametrize("text", ["", "\n", "def f(", LESSON, PLUMBING, "x = '\udc80'\n", "é = 1\n\x0c\n"])
def test_every_text_has_the_listed_features_in_order_and_all_are_finite(text: str) -> None:
    found = shipped.document_features(text)
    assert tuple(found) == shipped.NAMES == (*LEXICAL, *PARSED)
    assert np.isfinite(list(found.values())).all()


def test_lexical_features_count_what_they_say() -> None:
    found = lexical_features(Text(PLUMBING))
    assert found["relative_imports"] == 2
    assert found["foreign_imports"] == 1
    assert found["standard_import_share"] == 0
    assert found["exports"] == 1
    assert found["header_share"] == pytest.approx(34 / len(PLUMBING), abs=0.01)
    lesson = lexical_features(Text(LESSON))
    assert lesson["main_guard"] == 1
    assert lesson["opening_words"] == 7
    assert lesson["doctests_per_line"] == pytest.approx(1 / (LESSON.count("\n") + 1))
    assert lexical_features(Text(TEST))["test_function_share"] == 0.5


def test_words_in_strings_and_comments_are_not_code() -> None:
    assert Text('x = "for y in z"  # while True\n').words == {"x": 1}


def test_parsed_features_count_what_they_say() -> None:
    lesson = parsed_features(Text(LESSON))
    assert lesson["documented_function_share"] == lesson["doctested_function_share"] == 1
    assert lesson["nesting_max"] == 3
    assert lesson["foreign_names"] == 0
    assert lesson["used_function_share"] == 1
    plumbing = parsed_features(Text(PLUMBING))
    assert plumbing["foreign_names"] == 4
    assert plumbing["project_names"] == 3
    assert plumbing["import_statements"] == pytest.approx(3 / 4)
    stub = parsed_features(
        Text("def f():\n    '''Say.'''\n\n\ndef g():\n    return 1\n\n\ndef h():\n    ...\n")
    )
    assert stub["stub_share"] == pytest.approx(2 / 3)
    assert stub["one_statement_share"] == pytest.approx(1 / 3)


def test_what_does_not_parse_has_zeros() -> None:
    assert set(parsed_features(Text("def f(")).values()) == {0.0}


def test_a_lesson_scores_above_a_test_and_plumbing() -> None:
    rows = [list(shipped.document_features(text).values()) for text in (LESSON, TEST, PLUMBING)]
    lesson, test, plumbing = shipped.load().scores(np.array(rows, np.float32))
    assert lesson > 0.8
    assert max(test, plumbing) < 0.2


def test_a_filter_scores_with_it_and_no_labels(tmp_path: Path) -> None:
    for name in ("documents", "features", "judge"):
        (tmp_path / name).mkdir()
    documents = [Document(text, f"{n}.py", "code") for n, text in enumerate((LESSON, PLUMBING))]
    write_shard(tmp_path / "documents", shard_name(0), documents)
    config = FilterConfig(score="shipped", keep_share=0.5)
    assert config.measuring is not None
    inputs = {"documents": tmp_path / "documents"}
    features.run(config.measuring.seeing(350), inputs, tmp_path / "features", Tools(seed=1))
    classify.run(
        config.judging, {**inputs, "features": tmp_path / "features"}, tmp_path / "judge", Tools(seed=1)
    )
    scores = read_table(tmp_path / "judge" / KEPT / shard_name(0))["score"].to_pylist()
    assert scores[0] > 0.8
    assert scores[1] < 0.2
    assert read_json(tmp_path / "judge" / "trust.json") == {"score": "shipped", "features": ["document"]}


@pytest.mark.skipif(not GOLD.exists(), reason="the graded documents are not beside the project")
def test_fitting_again_gives_the_shipped_trees() -> None:
    with gzip.open(GOLD, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    matrix = np.array([list(shipped.document_features(row["text"]).values()) for row in rows], np.float32)
    scores = np.array([row["score"] for row in rows], np.float64)
    trees = shipped.fit_trees(matrix, scores, [row["group"] for row in rows], 1)
    packaged = shipped.load()
    again = type(packaged)("forest", trees, packaged.slope, packaged.offset)
    assert np.abs(again.scores(matrix) - packaged.scores(matrix)).max() < 1e-3
