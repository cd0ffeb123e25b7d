"""Scores against what they are defined as: counting, simulation, and closed forms."""

from __future__ import annotations

from itertools import combinations
from math import log

import numpy as np
import pytest

from hornbook.core.scores import (
    bits_per_byte,
    character_probability,
    mean_interval,
    paired_difference,
    pass_at_k,
    ratio_interval,
    share_interval,
    wilson,
)


@pytest.mark.parametrize("samples", range(1, 8))
def test_pass_at_k_is_the_share_of_draws_that_hold_a_pass(samples: int) -> None:
    for passed in range(samples + 1):
        outcomes = [1] * passed + [0] * (samples - passed)
        for k in range(1, samples + 1):
            draws = list(combinations(outcomes, k))
            assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws))


@pytest.mark.parametrize(("samples", "passed", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 4), (3, 1, 0)])
def test_pass_at_k_refuses_what_has_no_meaning(samples: int, passed: int, k: int) -> None:
    with pytest.raises(ValueError, match="not defined"):
        pass_at_k(samples, passed, k)


def test_wilson_matches_the_printed_example_and_stays_inside() -> None:
    some = wilson(81, 263)  # Newcombe 1998, table I: .2553 to .3662
    assert (some.low, some.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert wilson(0, 164).low == 0
    assert 0.02 < wilson(0, 164).high < 0.03
    assert wilson(5, 5).high == 1
    assert wilson(0, 0).high == 1


def test_bootstrap_covers_the_true_mean_about_95_times_in_100() -> None:
    random = np.random.default_rng(1)
    covered = 0
    for seed in range(60):
        found = mean_interval(random.exponential(1.0, 80).tolist(), seed)
        covered += found.low <= 1.0 <= found.high
    assert 51 <= covered <= 60


def test_pairing_sees_what_two_intervals_cannot() -> None:
    random = np.random.default_rng(2)
    theirs = {f"p{n}": float(value) for n, value in enumerate(random.normal(0, 1, 100))}
    ours = {id_: value + 0.1 + 0.01 * n % 0.02 for n, (id_, value) in enumerate(theirs.items())}
    difference = paired_difference(ours, theirs)
    assert 0.09 < difference.low < difference.value < difference.high < 0.13
    alone = mean_interval(list(theirs.values()))
    assert alone.high - alone.low > 10 * (difference.high - difference.low)


def test_a_difference_counts_shared_problems_only() -> None:
    assert paired_difference({"a": 1.0, "b": 5.0}, {"a": 0.0, "c": 9.0}).value == 1.0
    with pytest.raises(ValueError, match="no problem in common"):
        paired_difference({"a": 1.0}, {"b": 1.0})


def test_ratio_weighs_by_size_and_is_the_same_each_time() -> None:
    found = ratio_interval([10.0, 1.0, 4.0], [10.0, 2.0, 2.0], seed=3)
    assert found.value == 15 / 14
    assert found == ratio_interval([10.0, 1.0, 4.0], [10.0, 2.0, 2.0], seed=3)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_happened_never_or_always_is_not_certain(share: float) -> None:
    assert share_interval([share] * 20) == wilson(round(20 * share), 20)
    assert share_interval([0.0, 0.5, 1.0] * 9) == mean_interval([0.0, 0.5, 1.0] * 9)


def test_gold_measures_are_their_formulas() -> None:
    assert bits_per_byte(-8 * log(2), 4) == pytest.approx(2.0)
    assert character_probability(4 * log(0.5), 4) == pytest.approx(0.5)
