from __future__ import annotations

import itertools

import numpy as np
import pytest

from hornbook.text.minhash import (
    band_keys,
    chance_to_meet,
    choose_bands,
    jaccard,
    pairs_that_meet,
    signatures,
)


def sets_with(similarity: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` pairs of sets of 400 numbers in a row, each pair at this Jaccard, with their offsets."""
    draw = np.random.default_rng(seed)
    shared = round(2 * 400 * similarity / (1 + similarity))
    parts = []
    for _ in range(count):
        numbers = draw.integers(0, 2**64, 800 - shared, np.uint64)
        parts += [numbers[:400], numbers[400 - shared :]]
    return np.concatenate(parts), np.arange(0, 800 * count + 1, 400)


def test_signatures_estimate_jaccard() -> None:
    flat, offsets = sets_with(0.6, 50, seed=1)
    rows = signatures(flat, offsets, 256)
    assert np.mean(rows[::2] == rows[1::2]) == pytest.approx(0.6, abs=0.02)
    assert signatures(flat[:0], offsets[:1], 16).shape == (0, 16)


@pytest.mark.parametrize("similarity", [0.75, 0.85])
def test_pairs_at_the_threshold_meet_as_often_as_promised(similarity: float) -> None:
    bands, rows = choose_bands(128, 0.75, 0.99)
    flat, offsets = sets_with(similarity, 300, seed=2)
    keys = band_keys(signatures(flat, offsets, 128), bands, rows)
    met = (keys[::2] == keys[1::2]).any(axis=1).mean()
    assert met >= chance_to_meet(similarity, bands, rows) - 0.02
    strangers = (keys[::2] == np.roll(keys[1::2], 1, axis=0)).any(axis=1).mean()
    assert strangers < 0.01


def test_longest_rows_that_keep_the_recall_are_chosen() -> None:
    bands, rows = choose_bands(128, 0.75, 0.99)
    assert chance_to_meet(0.75, bands, rows) >= 0.99 > chance_to_meet(0.75, 128 // (rows + 1), rows + 1)


def test_pairs_that_meet_are_the_pairs_of_equal_keys() -> None:
    keys = np.array([7, 1, 7, 3, 1, 7, 9], np.uint64)
    found = {tuple(pair) for pair in pairs_that_meet(keys).tolist()}
    assert found == {(i, j) for i, j in itertools.combinations(range(7), 2) if keys[i] == keys[j]}
    assert len(pairs_that_meet(keys[:0])) == 0


def test_a_huge_group_stays_connected_with_few_pairs() -> None:
    pairs = pairs_that_meet(np.zeros(5_000, np.uint64))
    assert len(pairs) < 9 * 5_000
    assert {(n, n + 1) for n in range(4_999)} <= {(int(a), int(b)) for a, b in pairs}


def test_jaccard_is_that_of_sets() -> None:
    one, other = np.array([1, 3, 5, 9], np.uint32), np.array([3, 4, 9], np.uint32)
    assert jaccard(one, other) == len({3, 9}) / len({1, 3, 4, 5, 9})
    assert jaccard(one, one) == 1
    assert jaccard(one[:0], one[:0]) == 0
