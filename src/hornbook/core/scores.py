"""What attempts are worth: pass@k, intervals over problems, and paired differences between two models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the ends of its 95% interval."""

    value: float
    low: float
    high: float


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The chance that at least one of k samples passes, unbiased: 1 - C(n-c, k) / C(n, k) (arXiv 2107.03374)."""
    if not 0 <= passed <= samples or not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {passed} passed in {samples} samples is not defined")
    if samples - passed < k:
        return 1.0
    return float(1 - np.prod(1 - k / np.arange(samples - passed + 1, samples + 1)))


def bits_per_byte(log_probability: float, size_bytes: int) -> float:
    """-log2 of a text's probability (given as its natural logarithm) over its size in UTF-8."""
    return -log_probability / log(2) / size_bytes


def character_probability(log_probability: float, characters: int) -> float:
    """exp(log-probability / characters): the geometric mean probability of a character (arXiv 2504.11393)."""
    return exp(log_probability / characters)


def wilson(passed: int, total: int, z: float = 1.959964) -> Interval:
    """The share passed with Wilson's 95% score interval (Wilson 1927); holds at 0 and at 1 too."""
    if not total:
        return Interval(0.0, 0.0, 1.0)
    share = passed / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return Interval(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """The mean over problems with its bootstrap percentile interval."""
    return ratio_interval(values, np.ones(len(values)).tolist(), seed)


def share_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """The mean of shares over problems: the bootstrap's interval, or where all are 0 or all are 1 Wilson's.

    There every resample is the same, and a bootstrap would claim to be certain.
    """
    if set(values) in ({0.0}, {1.0}):
        return wilson(round(sum(values)), len(values))
    return mean_interval(values, seed)


def ratio_interval(parts: Sequence[float], wholes: Sequence[float], seed: int = 0) -> Interval:
    """sum(parts) / sum(wholes) over problems, which are resampled together, with its bootstrap percentile interval."""
    top, bottom = np.asarray(parts, float), np.asarray(wholes, float)
    times = _draws(len(top), seed)
    return _interval(float(top.sum() / bottom.sum()), (times @ top) / (times @ bottom))


def paired_difference(ours: Mapping[str, float], theirs: Mapping[str, float], seed: int = 0) -> Interval:
    """The mean of ours minus theirs, problem by problem, with its bootstrap percentile interval.

    Only problems that both have count; ValueError if there are none.
    """
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        raise ValueError("the two have no problem in common")
    return mean_interval([ours[id_] - theirs[id_] for id_ in shared], seed)


def _draws(count: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """(RESAMPLES, count) how often each problem is drawn in each resample."""
    random = np.random.default_rng(seed)
    return random.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)


def _interval(value: float, resampled: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Interval:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(value, float(low), float(high))


def triple(interval: Interval) -> list[float]:
    """An interval as files hold it: [value, low, high]."""
    return [interval.value, interval.low, interval.high]


Scores = npt.NDArray[np.float64]
Good = npt.NDArray[np.bool_]
RANK_RESAMPLES = 400


def roc_auc(scores: Scores, good: Good) -> float:
    """The chance that a good document scores above a bad one, ties counted half."""
    many = int(good.sum())
    return float((_ranks(scores)[good].sum() - many * (many - 1) / 2) / (many * (len(good) - many)))


def average_precision(scores: Scores, good: Good) -> float:
    """The mean precision at each step of recall, equal scores taken in one step."""
    kinds, kind = np.unique(-scores, return_inverse=True)
    found = np.bincount(kind, weights=good, minlength=len(kinds))
    seen = np.cumsum(np.bincount(kind, minlength=len(kinds)))
    return float((found * np.cumsum(found) / seen).sum() / good.sum())


def rank_correlation(left: Scores, right: Scores) -> float:
    """Spearman's, equal values at the mean of their ranks; nan where one side is constant."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(np.corrcoef(_ranks(left), _ranks(right))[0, 1])


def resamples(count: int, seed: int) -> list[Any]:
    """Rows of RANK_RESAMPLES bootstrap samples."""
    random = np.random.default_rng(seed)
    return [random.integers(0, count, count) for _ in range(RANK_RESAMPLES)]


def interval(measure: Callable[[Any], float], count: int, draws: Sequence[Any]) -> list[float | None]:
    """[value, low, high] of a measure of rows: 95% of the resamples lie between; None where it has no value."""
    value = measure(np.arange(count))
    values = np.array([measure(draw) for draw in draws])
    low, high = np.nanpercentile(values, [2.5, 97.5]) if not np.isnan(values).all() else (np.nan, np.nan)
    return [None if np.isnan(number) else float(number) for number in (value, low, high)]


def _ranks(values: Scores) -> Scores:
    """Ranks from 0, equal values at the mean of theirs."""
    _, kind, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[kind], np.float64)
