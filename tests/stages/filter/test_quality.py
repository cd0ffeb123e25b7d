"""The forest without scikit-learn says what scikit-learn says, and trust is measured on unseen groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hornbook.core.scores import Good, Scores, average_precision, roc_auc
from hornbook.stages.filter.learners import (
    LEARNERS,
    Judge,
    Shape,
    calibrated,
    learn_boosting,
    learn_forest,
    learn_linear,
    sigmoid,
    to_logit,
)
from hornbook.stages.filter.metrics import (
    calibration,
    calibration_error,
    cross_calibrated,
    learning_curve,
    out_of_fold,
    roc_auc_over_groups,
    splits,
    trust,
)
from hornbook.stages.filter.statistics import NGRAM_BUCKETS, from_statistics, side_by_side, token_ngrams
from hornbook.text.excerpt import beginning

SHAPE = Shape(trees=40, leaf_documents=2)


@pytest.fixture(scope="module")
def noisy() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    matrix = random.normal(size=(200, 6)).astype(np.float32)
    return matrix, matrix[:, 0] + 0.3 * random.normal(size=200) > 0.2


def _unseen(matrix: np.ndarray, good: Good, groups: list[str], learner: str = "forest") -> Scores:
    return out_of_fold(LEARNERS[learner], matrix, good, splits(good, groups, 0), SHAPE, 0)


def test_scores_are_those_of_scikit_learn(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    """The tables say what the estimators say that they were taken from."""
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    matrix, good = noisy
    unseen = np.random.default_rng(4).normal(size=(500, 6)).astype(np.float32)
    forest = RandomForestClassifier(40, min_samples_leaf=2, class_weight="balanced", random_state=1)
    ours = learn_forest(matrix, good, SHAPE, 1).scores(unseen)
    np.testing.assert_allclose(ours, forest.fit(matrix, good).predict_proba(unseen)[:, 1], atol=1e-12)
    boosting = GradientBoostingClassifier(
        n_estimators=40,
        learning_rate=0.05,
        max_depth=3,
        min_samples_leaf=2,
        subsample=0.5,
        max_features="sqrt",
        random_state=1,
    )
    ours = learn_boosting(matrix, good, SHAPE, 1).scores(unseen)
    np.testing.assert_allclose(ours, boosting.fit(matrix, good).predict_proba(unseen)[:, 1], atol=1e-9)


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_judge_is_the_same_after_saving_and_for_any_number_of_threads(
    learner: str, noisy: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    matrix, good = noisy
    for name, seed, threads in (("a", 1, 1), ("b", 1, 2), ("c", 2, 1)):
        learnt = LEARNERS[learner](matrix, good, Shape(40, 2, threads), seed)
        Judge(learner, learnt, 0.5, -0.1).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert ((tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()) == (learner == "linear")
    kept, loaded = Judge(learner, learnt, 0.5, -0.1), Judge.load(tmp_path / "c")
    assert (kept.scores(matrix) == loaded.scores(matrix)).all()
    assert loaded.learnt.importances().sum() == pytest.approx(1)


def test_trees_that_tell_nothing_apart_have_no_importances() -> None:
    """Good and bad alike on both sides of every split: scikit-learn divides nothing by nothing there."""
    matrix, good = np.repeat(np.eye(2, 1, dtype=np.float32), 4, axis=0), np.array([True, False] * 4)
    for seed in range(20):
        weights = LEARNERS["forest"](matrix, good, Shape(1, 2), seed).importances()
        assert np.isfinite(weights).all()


def test_contributions_add_up_to_the_score_and_name_the_column_that_counts(
    noisy: tuple[np.ndarray, np.ndarray],
) -> None:
    matrix, good = noisy
    forest = learn_forest(matrix, good, SHAPE, 1)
    start = float(np.mean(forest.value[forest.roots]))
    linear = learn_linear(matrix, good, SHAPE, 1)
    boosting = learn_boosting(matrix, good, SHAPE, 1)
    for row in matrix[:20]:
        one = row[None]
        assert start + forest.contributions(row).sum() == pytest.approx(forest.scores(one)[0])
        said = to_logit(linear.scores(one))[0]
        assert linear.base[0] + linear.contributions(row).sum() == pytest.approx(said)
        assert abs(forest.contributions(row)).argmax() == 0
        assert np.sign(boosting.contributions(row)[0]) == np.sign(row[0] - 0.2) or abs(row[0] - 0.2) < 0.3


@pytest.mark.parametrize("learner", LEARNERS)
def test_trust_finds_signal_and_only_signal(learner: str, noisy: tuple[np.ndarray, np.ndarray]) -> None:
    matrix, good = noisy
    groups = [f"package{n % 20}" for n in range(len(good))]
    signal = trust(_unseen(matrix, good, groups, learner), good, matrix[:, 0], 0)
    blind = trust(_unseen(matrix[:, 1:], good, groups, learner), good, matrix[:, 0], 0)
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
    assert roc_auc(_unseen(matrix, good, seen), good) > 0.95
    assert roc_auc(_unseen(matrix, good, package.astype(str).tolist()), good) < 0.7


@pytest.mark.parametrize("groups", [["one"] * 20, [f"p{n % 2}" for n in range(20)], ["most"] * 19 + ["last"]])
def test_few_groups_still_score_every_document(groups: list[str]) -> None:
    matrix = np.arange(20, dtype=np.float32)[:, None]
    scores = _unseen(matrix, matrix[:, 0] > 9, groups)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_documents_that_are_alike_widen_the_interval_over_groups() -> None:
    """Twenty packages of ten equal documents say as much as twenty documents."""
    random = np.random.default_rng(0)
    few = random.random(20)
    good = np.repeat(few + 0.5 * random.random(20) > 0.75, 10)
    scores, groups = np.repeat(few, 10), [str(n // 10) for n in range(200)]
    told = roc_auc_over_groups(scores, good, groups, 1)
    assert told
    value, low, high = told
    _, lowest, highest = trust(scores, good, scores, 1)["roc_auc"]
    assert value == roc_auc(scores, good)
    assert high - low > 1.5 * (highest - lowest)
    assert roc_auc_over_groups(scores[:40], good[:40], groups[:40], 1) is None


def test_areas_and_precisions_are_those_of_scikit_learn_ties_too() -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    random = np.random.default_rng(0)
    for _ in range(20):
        scores, good = random.random(60).round(1), random.random(60) > 0.6
        assert roc_auc(scores, good) == pytest.approx(roc_auc_score(good, scores))
        assert average_precision(scores, good) == pytest.approx(average_precision_score(good, scores))


def test_calibration_finds_the_line_that_the_scores_were_bent_by() -> None:
    random = np.random.default_rng(1)
    probability = random.random(20_000)
    good = random.random(20_000) < probability
    bent = sigmoid(0.4 * to_logit(probability) + 1.0)
    slope, offset = calibrated(bent, good)
    assert (slope, offset) == (pytest.approx(2.5, rel=0.05), pytest.approx(-2.5, rel=0.1))
    parts = splits(good[:400], [str(n % 40) for n in range(400)], 0)
    mended = cross_calibrated(bent[:400], good[:400], parts)
    assert calibration_error(mended, good[:400]) < 0.1 < calibration_error(bent[:400], good[:400])


def test_calibration_never_turns_the_order_round() -> None:
    scores = np.linspace(0.1, 0.9, 50)
    slope, _ = calibrated(scores, scores < 0.5)
    assert slope > 0


def test_a_learning_curve_rises_and_ends_at_all_labels(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    matrix, good = noisy
    groups = [f"package{n % 20}" for n in range(len(good))]
    parts = splits(good, groups, 0)
    curve = learning_curve(learn_forest, matrix, good, parts, SHAPE, 0)
    assert [row["labels"] for row in curve] == [20, 40, 80, 160]
    assert curve[-1]["roc_auc"] == pytest.approx(roc_auc(_unseen(matrix, good, groups), good))
    assert curve[-1]["roc_auc"] > curve[0]["highest"]


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
