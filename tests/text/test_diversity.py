"""Diversity: what repeats itself scores lower on every measure, and sets are cut to the same number of tokens."""

from __future__ import annotations

import random

import pytest

from hornbook.text.diversity import count_tokens, cut_to, measure

WORDS = [f"{a}{b}" for a in "bcdfghklmn" for b in ("an", "el", "il", "om", "ut", "ar", "en", "is")]


def texts(different: int, count: int = 60) -> list[str]:
    """`count` texts of 50 words, of which so many are different."""
    return [" ".join(random.Random(n % different).choices(WORDS, k=50)) for n in range(count)]


def test_a_set_that_repeats_itself_scores_lower_on_every_measure() -> None:
    rich, poor = measure(texts(60)), measure(texts(6))
    assert rich["tokens"] == poor["tokens"] == 3_000
    for key in ("distinct_1", "distinct_2", "distinct_3", "new_per_thousand"):
        assert rich[key] >= poor[key]
    assert rich["distinct_3"] > 5 * poor["distinct_3"]
    assert rich["compression"] > 3 * poor["compression"]
    assert rich["near_duplicates"] == 0
    assert poor["near_duplicates"] == pytest.approx(0.9)


def test_new_content_falls_where_nothing_new_comes() -> None:
    curve = measure(texts(6))["curve"]
    assert curve[0][1] > 800
    assert curve[-1] == [3_000, 0.0]
    assert [place for place, _ in curve] == sorted({place for place, _ in curve})


def test_a_set_is_cut_to_a_number_of_tokens_within_a_text() -> None:
    found = cut_to(["one, two", "three four.", "five"], 5)
    assert found == ["one, two", "three four"]
    assert count_tokens(found) == 5
    assert cut_to(["one two"], 9) == ["one two"]
    assert cut_to(["one"], 0) == []


@pytest.mark.parametrize("found", [[], [""], ["a"], ["a", "a"]])
def test_degenerate_sets_have_numbers_too(found: list[str]) -> None:
    told = measure(found)
    assert 0 <= told["near_duplicates"] <= 1
    assert all(isinstance(told[key], float) for key in ("distinct_1", "compression", "new_per_thousand"))
