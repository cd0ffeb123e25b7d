"""Novelty: near copies of earlier pages are seen, and how much of a page is new."""

from __future__ import annotations

import random

import numpy as np
import pytest

from hornbook.stages.textbooks.select import Novelty, Seen

WORDS = [f"{a}{b}" for a in "bcdfghklmn" for b in ("an", "el", "il", "om", "ut", "ar", "en", "is")]


def text(seed: int, count: int = 200) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def changed(original: str, every: int) -> str:
    return " ".join("other" if n % every == every // 2 else w for n, w in enumerate(original.split()))


def test_a_near_copy_is_seen_and_a_different_page_is_not() -> None:
    novelty = Novelty(0.7, 10_000)
    for seed in range(30):
        look = novelty.look(text(seed))
        assert look.likeness < 0.3
        assert look.new_share > 0.95
        novelty.keep(str(seed), look)
    near = novelty.look(changed(text(7), 60))
    assert near.nearest == "7"
    assert near.likeness > 0.7
    assert near.new_share < 0.15


def test_a_page_stitched_from_others_has_little_that_is_new() -> None:
    novelty = Novelty(0.7, 10_000)
    for seed in range(4):
        novelty.keep(str(seed), novelty.look(text(seed)))
    stitched = novelty.look(" ".join(" ".join(text(seed).split()[:60]) for seed in range(4)))
    assert stitched.likeness < 0.7
    assert stitched.new_share < 0.1


@pytest.mark.parametrize("words", ["", "one", "just three words"])
def test_short_pages_are_compared_whole(words: str) -> None:
    novelty = Novelty(0.7, 100)
    assert novelty.look(words).new_share == 1
    novelty.keep("a", novelty.look(words))
    assert novelty.look(words).likeness == (1.0 if words else 0.0)


def test_the_set_of_hashes_forgets_nothing_and_rarely_errs() -> None:
    hashes = np.random.default_rng(1).integers(0, 1 << 63, 20_000).astype(np.uint64)
    seen = Seen(10_000)
    seen.add(hashes[:10_000])
    assert seen.has(hashes[:10_000]).all()
    assert seen.has(hashes[10_000:]).mean() < 0.05
