"""Functions of the corpus for pages to explain: drawn by what they do, alike on one worker and on two."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornbook.core.records import Document
from hornbook.core.shards import shard_name, write_shard
from hornbook.core.workers import Pool
from hornbook.stages.textbooks import step as textbooks
from hornbook.stages.textbooks.grounding import Draw, draw_functions
from hornbook.stages.textbooks.step import TextbooksConfig

FUNCTION = '''def scale_{n}(values: list[int]) -> list[int]:
    """Return each value times {n}, without those below {n}, in the order in which they were given.

    A list of none is what an empty list gives, and so does one whose values are all smaller than {n}.
    """
    found = []
    for value in values:
        if value >= {n}:
            found.append(value * {n})
    return found
'''
DRAW = Draw(5, 1, (100, 1_000))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Forty functions in four shards, each in two of them under another name of the file."""
    for shard in range(4):
        rows = [Document(FUNCTION.format(n=n), f"{shard}/{n}.py", "code") for n in range(shard % 2, 40, 2)]
        write_shard(tmp_path, shard_name(shard), rows)
    return tmp_path


def test_workers_draw_the_same_functions_and_of_one_body_one(corpus: Path) -> None:
    drawn = draw_functions(corpus, DRAW)
    pool = Pool(2)
    try:
        assert draw_functions(corpus, DRAW, pool) == drawn
    finally:
        pool.close()
    assert len({real.name for real in drawn}) == 5
    every = draw_functions(corpus, Draw(1_000, 1, DRAW.chars))
    assert len(every) == 40
    assert every[:5] == drawn
    assert {real.source[0] for real in every} == {"0", "1"}
    assert draw_functions(corpus, Draw(5, 2, DRAW.chars)) != drawn


def test_a_plan_looks_for_functions_only_where_that_is_quick(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TextbooksConfig(pages=10, grounded_share=0.5)
    found = textbooks.asks(config, {"documents": corpus}, 1)
    said = list(found.asks)
    assert (len(said), found.guess) == (10, "")
    assert any("scale_" in ask.messages[-1][1] for ask in said)
    monkeypatch.setattr(textbooks, "QUICK_DOCUMENTS", 10)
    guessed = textbooks.asks(config, {"documents": corpus}, 1)
    assert (len(list(guessed.asks)), guessed.guess) == (
        10,
        "drawing functions of so many documents takes long",
    )
