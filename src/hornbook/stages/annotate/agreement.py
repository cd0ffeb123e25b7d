"""How far two judgements of the same documents agree: of one annotator asked twice, or of two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hornbook.core.scores import Scores, interval, rank_correlation, resamples


def agreement(first: Sequence[float], second: Sequence[float], points: int, seed: int) -> dict[str, Any]:
    """Spearman's rank correlation and how often both say the same, each [value, low, high] over 95% of resamples.

    With `points` above 0 labels are whole numbers from 0 to points: the same number, numbers within one, and
    Cohen's kappa with quadratic weights. Without, labels are probabilities: the same half of each one's own
    documents (by its median), so that a teacher that always says Yes a little is not called agreeing.
    """
    left, right = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if len(left) < 2:
        return {"documents": len(left)}
    measures: dict[str, Callable[[Any], float]] = {
        "rank_correlation": lambda i: rank_correlation(left[i], right[i])
    }
    if points:
        measures |= {
            "same": lambda i: float((left[i] == right[i]).mean()),
            "within_one": lambda i: float((abs(left[i] - right[i]) <= 1).mean()),
            "weighted_kappa": lambda i: weighted_kappa(left[i], right[i], points),
        }
    else:
        halves = [side > np.median(side) for side in (left, right)]
        measures["same_half"] = lambda i: float((halves[0][i] == halves[1][i]).mean())
    draws = resamples(len(left), seed)
    found = {name: interval(measure, len(left), draws) for name, measure in measures.items()}
    return {"documents": len(left), "points": points, **found}


def weighted_kappa(first: Scores, second: Scores, points: int) -> float:
    """Cohen's kappa (1968), disagreement weighted by its square: 1 agrees, 0 is chance; nan where neither varies."""
    values = np.arange(points + 1)
    shares = [(side[:, None] == values).mean(axis=0) for side in (first, second)]
    by_chance = float(shares[0] @ (values[:, None] - values) ** 2 @ shares[1])
    return 1 - float(((first - second) ** 2).mean()) / by_chance if by_chance else float("nan")
