"""Agreement of two judgings, against values that are known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from hornbook.stages.annotate.agreement import agreement, weighted_kappa


def test_an_annotator_that_repeats_itself_agrees_wholly() -> None:
    labels = [float(n % 6) for n in range(60)]
    found = agreement(labels, labels, 5, 0)
    assert found["documents"] == 60
    for measure in ("rank_correlation", "same", "within_one", "weighted_kappa"):
        assert found[measure] == pytest.approx([1, 1, 1])


def test_chance_is_no_agreement() -> None:
    random = np.random.default_rng(0)
    first, second = random.integers(0, 6, 400), random.integers(0, 6, 400)
    found = agreement(first, second, 5, 0)
    low, high = found["weighted_kappa"][1:]
    assert low < 0 < high
    assert found["same"][0] == pytest.approx(1 / 6, abs=0.06)


def test_kappa_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    first = random.integers(0, 6, 100).astype(float)
    second = np.clip(first + random.integers(-1, 2, 100), 0, 5)
    ours = weighted_kappa(first, second, 5)
    assert ours == pytest.approx(cohen_kappa_score(first, second, weights="quadratic", labels=range(6)))
    assert np.isnan(weighted_kappa(np.ones(5), np.ones(5), 5))


def test_probabilities_are_compared_by_their_own_halves() -> None:
    first = np.linspace(0.6, 0.9, 40)
    found = agreement(first, first - 0.5, 0, 0)
    assert found["same_half"] == pytest.approx([1, 1, 1])
    assert "weighted_kappa" not in found


def test_one_pair_says_nothing() -> None:
    assert agreement([1.0], [1.0], 5, 0) == {"documents": 1}
