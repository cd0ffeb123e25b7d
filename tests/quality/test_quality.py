"""The forest without scikit-learn says what scikit-learn says, and trust is measured on unseen groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hornbook.quality.features import NGRAM_BUCKETS, beginning, from_statistics, side_by_side, token_ngrams
from hornbook.quality.forest import Forest, ForestShape, learn
from hornbook.quality.trust import calibration, out_of_fold_scores, trust

SHAPE = ForestShape(trees=40, leaf_documents=2)


@pytest.fixture(scope="module")
def noisy() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    matrix = random.normal(size=(200, 6)).astype(np.float32)
    return matrix, matrix[:, 0] + 0.3 * random.normal(size=200) > 0.2


def test_scores_are_those_of_scikit_learn_also_after_saving(
    noisy: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    matrix, good = noisy
    learnt = learn(matrix, good, SHAPE, seed=1)
    Forest.of(learnt).save(tmp_path / "forest.safetensors")
    unseen = np.random.default_rng(4).normal(size=(500, 6)).astype(np.float32)
    loaded = Forest.load(tmp_path / "forest.safetensors")
    np.testing.assert_allclose(loaded.scores(unseen), learnt.predict_proba(unseen)[:, 1], atol=1e-12)


def test_same_seed_same_bytes_other_seed_other_forest(
    noisy: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        Forest.of(learn(*noisy, SHAPE, seed)).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_trust_finds_signal_and_only_signal(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    matrix, good = noisy
    groups = [f"package{n % 20}" for n in range(len(good))]
    signal = trust(out_of_fold_scores(matrix, good, groups, SHAPE, 0), good, matrix[:, 0], 0)
    blind = trust(out_of_fold_scores(matrix[:, 1:], good, groups, SHAPE, 0), good, matrix[:, 0], 0)
    value, low, high = signal["roc_auc"]
    assert low < value < high
    assert low > 0.85
    assert signal["rank_correlation"][0] > 0.6
    assert blind["roc_auc"][1] < 0.5 < blind["roc_auc"][2]


def test_a_column_that_only_names_the_package_does_not_help() -> None:
    """Each package is all good or all bad; plain folds would leak that through the package's own column."""
    random = np.random.default_rng(0)
    package = np.arange(120) // 6
    good = random.permutation(20)[package] % 2 == 0
    matrix = package[:, None].astype(np.float32)
    seen = np.char.add("file", np.arange(120).astype(str)).tolist()
    leaking = trust(out_of_fold_scores(matrix, good, seen, SHAPE, 0), good, good.astype(float), 0)
    guarded = trust(
        out_of_fold_scores(matrix, good, package.astype(str).tolist(), SHAPE, 0), good, good.astype(float), 0
    )
    assert leaking["roc_auc"][0] > 0.95
    assert guarded["roc_auc"][0] < 0.7


@pytest.mark.parametrize("groups", [["one"] * 20, [f"p{n % 2}" for n in range(20)], ["most"] * 19 + ["last"]])
def test_few_groups_still_score_every_document(groups: list[str]) -> None:
    matrix = np.arange(20, dtype=np.float32)[:, None]
    scores = out_of_fold_scores(matrix, matrix[:, 0] > 9, groups, SHAPE, 0)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_constant_scores_have_no_correlation_and_chance_auc() -> None:
    good = np.arange(40) % 2 == 0
    said = trust(np.full(40, 0.5), good, np.arange(40.0), 0)
    assert said["rank_correlation"] == [None, None, None]
    assert said["roc_auc"][0] == 0.5


def test_rank_correlation_counts_ties_as_the_mean_rank() -> None:
    scores, labels = np.array([1.0, 2, 2, 3]), np.array([1.0, 2, 3, 3])
    good = labels > 2
    # Ranks 0, 1.5, 1.5, 3 and 0, 1, 2.5, 2.5; their correlation by hand.
    assert trust(scores, good, labels, 0)["rank_correlation"][0] == pytest.approx(
        np.corrcoef([0, 1.5, 1.5, 3], [0, 1, 2.5, 2.5])[0, 1]
    )


def test_calibration_covers_every_document_once() -> None:
    scores = np.linspace(0, 1, 23)
    parts = calibration(scores, scores > 0.5)
    assert sum(part["documents"] for part in parts) == 23
    assert [part["good_share"] for part in parts] == sorted(part["good_share"] for part in parts)


def test_ngrams_have_unit_length_and_follow_order() -> None:
    features = token_ngrams(["a b c d", "d c b a", "a b c d", ""])
    assert features.matrix.shape == (4, NGRAM_BUCKETS)
    np.testing.assert_allclose(np.linalg.norm(features.matrix, axis=1), [1, 1, 1, 0], atol=1e-6)
    assert (features.matrix[0] == features.matrix[2]).all()
    assert (features.matrix[0] != features.matrix[1]).any()


def test_statistics_become_named_finite_columns() -> None:
    extract = from_statistics(lambda text: {"chars": len(text), "odd": float("nan")})
    both = side_by_side([extract(["abc", ""]), token_ngrams(["abc", ""])])
    assert both.names[:2] == ("chars", "odd")
    assert both.matrix[:, :2].tolist() == [[3, 0], [0, 0]]
    assert both.matrix.shape == (2, len(both.names))


def test_a_beginning_ends_with_a_line_where_one_is_near() -> None:
    assert beginning("one\ntwo\nthree", 10) == "one\ntwo"
    assert beginning("x" * 30, 10) == "x" * 10
    assert beginning("a\n" + "x" * 30, 10) == "a\n" + "x" * 8
    assert beginning("short\n", 10) == "short\n"
