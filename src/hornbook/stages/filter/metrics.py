"""How far scores can be trusted: what is said of documents whose package was not learnt from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hornbook.core.scores import (
    Good,
    Scores,
    average_precision,
    interval,
    rank_correlation,
    resamples,
    roc_auc,
)
from hornbook.stages.filter.learners import Learn, Shape, calibrated, sigmoid, to_logit
from hornbook.stages.filter.statistics import Matrix

RANK_RESAMPLES = 400
FOLDS = 5
CURVE_SHARES = (0.125, 0.25, 0.5, 1.0)
"""Of the labels that a fold learns from."""
CURVE_DRAWS = 2
"""Different draws of each share below the whole."""
CURVE_TREES = 60
"""Enough to see where a curve flattens, and a fifth of the cost."""
FEWEST_TO_LEARN = 8
FEWEST_GROUPS = 5
"""Of fewer, resamples say little."""
Split = tuple[Any, Any]


def splits(good: Good, groups: Sequence[str], seed: int, folds: int = FOLDS) -> list[Split]:
    """(rows to learn from, rows to test on), no group on both sides, good ones spread evenly.

    Where there are fewer groups than folds, as many folds as groups; with a single group, plain folds.
    """
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


def out_of_fold(
    learn: Learn, matrix: Matrix, good: Good, parts: Sequence[Split], shape: Shape, seed: int
) -> Scores:
    """(labelled,) scores, each by what was learnt without any document of its group; not calibrated."""
    scores = np.full(len(good), good.mean())
    for train, test in parts:
        if good[train].any() and not good[train].all():
            scores[test] = learn(matrix[train], good[train], shape, seed).scores(matrix[test])
    return scores


def cross_calibrated(scores: Scores, good: Good, parts: Sequence[Split]) -> Scores:
    """Out-of-fold scores as probabilities, each by a line that was fitted on the other folds' scores alone."""
    found = np.empty(len(scores))
    for train, test in parts:
        slope, offset = calibrated(scores[train], good[train])
        found[test] = sigmoid(slope * to_logit(scores[test]) + offset)
    return found


def trust(scores: Scores, good: Good, labels: Scores, seed: int) -> dict[str, Any]:
    """ROC AUC and average precision against good, Spearman's rank correlation with the labels, each [value, low, high].

    Intervals hold 95% of bootstrap resamples of the labelled documents.
    """
    measures: dict[str, Callable[[Any], float]] = {
        "roc_auc": lambda i: roc_auc(scores[i], good[i]),
        "average_precision": lambda i: average_precision(scores[i], good[i]),
        "rank_correlation": lambda i: rank_correlation(scores[i], labels[i]),
    }
    draws = [draw for draw in resamples(len(good), seed) if good[draw].any() and not good[draw].all()]
    return {name: interval(measure, len(good), draws) for name, measure in measures.items()}


def roc_auc_over_groups(
    scores: Scores, good: Good, groups: Sequence[str], seed: int
) -> list[float | None] | None:
    """ROC AUC as [value, low, high] over resamples of whole groups: documents of one package are alike.

    None where the groups are too few to be drawn from.
    """
    members = [np.flatnonzero(np.asarray(groups) == name) for name in sorted(set(groups))]
    if len(members) < FEWEST_GROUPS:
        return None
    drawn = resamples(len(members), seed)
    draws = [np.concatenate([members[group] for group in draw]) for draw in drawn]
    both = [draw for draw in draws if good[draw].any() and not good[draw].all()]
    return interval(lambda i: roc_auc(scores[i], good[i]), len(good), both)


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


def calibration_error(scores: Scores, good: Good, bins: int = 5) -> float:
    """Expected calibration error: the mean gap between said and true, over `calibration`'s parts."""
    rows = calibration(scores, good, bins)
    return sum(row["documents"] * abs(row["mean_score"] - row["good_share"]) for row in rows) / len(scores)


def learning_curve(
    learn: Learn, matrix: Matrix, good: Good, parts: Sequence[Split], shape: Shape, seed: int
) -> list[dict[str, float]]:
    """ROC AUC out of fold when only a share of the labels is learnt from: labels, mean, lowest and highest draw."""
    most = min(len(train) for train, _ in parts)
    shape = replace(shape, trees=min(shape.trees, CURVE_TREES))
    found = []
    for share in CURVE_SHARES:
        if share * most < FEWEST_TO_LEARN:
            continue
        draws = 1 if share == 1 else CURVE_DRAWS
        reached = [
            roc_auc(out_of_fold(learn, matrix, good, fewer, shape, seed), good)
            for draw in range(draws)
            for fewer in [[(_part(train, share, seed + draw), test) for train, test in parts]]
        ]
        row = {"labels": int(share * most), "roc_auc": float(np.mean(reached))}
        found.append({**row, "lowest": min(reached), "highest": max(reached)})
    return found


def _part(train: Any, share: float, seed: int) -> Any:
    """A drawn share of the rows, in their order."""
    count = max(FEWEST_TO_LEARN, int(share * len(train)))
    return train if share == 1 else np.sort(np.random.default_rng(seed).permutation(train)[:count])
