"""Which documents are kept: the best by score within a budget, and of every stratum at least a share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from hornbook.core.scores import Scores

SCORE_DECIMALS = 6
_TIE_BITS = 40
Keys = npt.NDArray[np.uint64]
Sizes = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]


def keys(scores: Scores, ids: Sequence[str]) -> Keys:
    """(documents,) integers in the order of the scores; equal scores are ordered by a hash of the id."""
    ranks = np.round(scores * 10**SCORE_DECIMALS).astype(np.uint64) << np.uint64(_TIE_BITS)
    return np.asarray(ranks | np.array([_hash(id_) >> (64 - _TIE_BITS) for id_ in ids], np.uint64), np.uint64)


def random_scores(ids: Sequence[str], seed: int) -> Scores:
    """(documents,) numbers from 0 to 1 that depend on seed and id alone."""
    return np.array([_hash(f"{seed}:{id_}") / 2**64 for id_ in ids], np.float64).round(SCORE_DECIMALS)


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True)
class Rule:
    """How much is kept: a share of the documents, a least score, or so many bytes; exactly one is set.

    Of every stratum the best `stratum_share` of its documents are kept first, one at least, whatever the others
    score; they count towards the budget.
    """

    share: float | None = None
    least_score: float | None = None
    size_bytes: float | None = None
    stratum_share: float = 0.0


@dataclass(frozen=True)
class Threshold:
    """A document is kept when its key is at least `general`, or at least its stratum's own."""

    general: int
    by_stratum: Mapping[str, int] = field(default_factory=dict)

    def keeps(self, found: Keys, strata: Sequence[str]) -> npt.NDArray[np.bool_]:
        """(documents,) whether each is kept."""
        least = np.array([min(self.general, self.by_stratum.get(name, self.general)) for name in strata])
        return np.asarray(found >= least.astype(np.uint64), np.bool_)

    @property
    def score(self) -> float:
        """The score from which a document is kept whatever its stratum."""
        return score_of(self.general)


def score_of(key: int) -> float:
    """The score in a key."""
    return float((key >> _TIE_BITS) / 10**SCORE_DECIMALS)


def choose(found: Keys, sizes: Sizes, strata: Codes, names: Sequence[str], rule: Rule) -> Threshold:
    """The thresholds by which a corpus is cut to a rule; `strata` holds each document's index into `names`.

    20 bytes a document are held, and nothing of its text.
    """
    own = _stratum_keys(found, strata, rule.stratum_share)
    forced = found >= own[strata] if len(own) else np.zeros(len(found), np.bool_)
    by_stratum = {names[code]: int(key) for code, key in enumerate(own)}
    if rule.least_score is not None:
        return Threshold(round(rule.least_score * 10**SCORE_DECIMALS) << _TIE_BITS, by_stratum)
    rest = np.flatnonzero(~forced)
    order = rest[np.argsort(found[rest])[::-1]]
    if rule.share is not None:
        count = max(0, max(1, round(len(found) * rule.share)) - int(forced.sum()))
    else:
        room = (rule.size_bytes or 0) - int(sizes[forced].sum())
        count = int(np.searchsorted(np.cumsum(sizes[order]), room, side="right"))
    taken = order[:count]
    general = int(found[taken[-1]]) if len(taken) else int(found.max(initial=0)) + 1
    return Threshold(general, by_stratum)


def _stratum_keys(found: Keys, strata: Codes, share: float) -> Keys:
    """Of each stratum the key from which its best share is kept; none where no share is."""
    if not share or not len(found):
        return np.zeros(0, np.uint64)
    order = np.lexsort((~found, strata))
    counts = np.bincount(strata)
    starts = np.cumsum(counts) - counts
    kept = np.maximum(np.ceil(counts * share - 1e-9), 1).astype(np.int64)
    return np.asarray(found[order[starts + kept - 1]], np.uint64)


def summary(sizes: Sizes, densities: Scores, mixes: Mapping[str, Sequence[str]], keep: Any) -> dict[str, Any]:
    """What a choice holds of one shard: documents, bytes, comment density, lengths in powers of two, and mixes.

    Every value is a sum, so the summaries of shards add up with `add`.
    """
    of = sizes[keep]
    lengths = np.bincount(np.log2(np.maximum(of, 1)).astype(np.int64), minlength=1)
    return {
        "documents": len(of),
        "bytes": int(of.sum()),
        "density_sum": float(densities[keep].sum()),
        "lengths": {str(power): int(count) for power, count in enumerate(lengths) if count},
        **{name: _mix(np.asarray(values, object)[keep], of) for name, values in mixes.items()},
    }


def _mix(values: Any, sizes: Sizes) -> dict[str, int]:
    """Value -> bytes of the documents that have it."""
    names, code = np.unique(values, return_inverse=True)
    held = np.bincount(code, weights=sizes, minlength=len(names))
    return {str(name): int(count) for name, count in zip(names, held, strict=True)}


def add(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """The sum of two summaries, key by key."""
    return {
        key: add(left.get(key, {}), right.get(key, {}))
        if isinstance(left.get(key, right.get(key)), Mapping)
        else left.get(key, 0) + right.get(key, 0)
        for key in sorted(left.keys() | right.keys())
    }
