"""How far a forest's scores can be trusted: out-of-fold scores and what they say about unseen packages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hornbook.quality.features import Matrix
from hornbook.quality.forest import Forest, ForestShape, Good, Scores, learn

RESAMPLES = 400


def out_of_fold_scores(
    matrix: Matrix, good: Good, groups: Sequence[str], shape: ForestShape, seed: int, folds: int = 5
) -> Scores:
    """(labelled,) scores, each by a forest that saw no document of the same group.

    Where there are fewer groups than folds, as many folds as groups; with a single group, plain folds.
    """
    scores = np.full(len(good), good.mean())
    for train, test in _splits(good, groups, seed, folds):
        if good[train].any() and not good[train].all():
            scores[test] = Forest.of(learn(matrix[train], good[train], shape, seed)).scores(matrix[test])
    return scores


def trust(scores: Scores, good: Good, labels: Scores, seed: int) -> dict[str, Any]:
    """ROC AUC and average precision against good, Spearman's rank correlation with the labels, each [value, low, high].

    Intervals hold 95% of bootstrap resamples of the labelled documents.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    measures: dict[str, Callable[[Any], float]] = {
        "roc_auc": lambda i: float(roc_auc_score(good[i], scores[i])),
        "average_precision": lambda i: float(average_precision_score(good[i], scores[i])),
        "rank_correlation": lambda i: float(np.corrcoef(_ranks(scores[i]), _ranks(labels[i]))[0, 1]),
    }
    random = np.random.default_rng(seed)
    draws = [random.integers(0, len(good), len(good)) for _ in range(RESAMPLES)]
    draws = [draw for draw in draws if good[draw].any() and not good[draw].all()]
    return {name: _interval(measure, len(good), draws) for name, measure in measures.items()}


def calibration(scores: Scores, good: Good, bins: int = 5) -> list[dict[str, float]]:
    """Documents in equal parts by score: how good they were said to be beside how many were."""
    parts = np.array_split(np.argsort(scores, kind="stable"), min(bins, len(scores)))
    return [
        {
            "documents": len(part),
            "mean_score": float(scores[part].mean()),
            "good_share": float(good[part].mean()),
        }
        for part in parts
    ]


def _ranks(values: Scores) -> Scores:
    """Ranks from 0, equal values at the mean of theirs."""
    _, kind, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[kind], np.float64)


def _interval(measure: Callable[[Any], float], count: int, draws: Sequence[Any]) -> list[float | None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant scores have no correlation: nan, shown as null
        value = measure(np.arange(count))
        values = [measure(draw) for draw in draws]
    low, high = np.nanpercentile(values, [2.5, 97.5]) if not np.isnan(values).all() else (np.nan, np.nan)
    return [None if np.isnan(number) else float(number) for number in (value, low, high)]


def _splits(good: Good, groups: Sequence[str], seed: int, folds: int) -> list[tuple[Any, Any]]:
    from sklearn.model_selection import KFold, StratifiedGroupKFold

    count = len(set(groups))
    if count < 2:
        plain = KFold(min(folds, len(good)), shuffle=True, random_state=seed)
        return list(plain.split(good))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer good documents than folds: the folds still hold
        grouped = StratifiedGroupKFold(min(folds, count), shuffle=True, random_state=seed)
        return list(grouped.split(good, good, groups))
