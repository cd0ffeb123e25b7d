"""Near-duplicates: MinHash signatures, the bands that bring candidates together, and real Jaccard.

Broder, On the resemblance and containment of documents, 1997; banding as in Leskovec, Rajaraman and Ullman,
Mining of Massive Datasets, chapter 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hornbook.text.hashes import Hashes, Positions

Signatures = NDArray[np.uint32]

_SEED = 42
_PREDECESSORS = 8


def signatures(shingles: Hashes, offsets: Positions, hashes: int) -> Signatures:
    """The MinHash signatures [texts, hashes] of texts whose shingles stand in a row, split at `offsets`."""
    import rensa

    if len(offsets) < 2:
        return np.zeros((0, hashes), np.uint32)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        shingles, offsets.astype(np.uint64), hashes, _SEED
    )
    return np.array(matrix.to_rows(), np.uint32)


def chance_to_meet(jaccard: float, bands: int, rows: int) -> float:
    """The probability that two texts of this similarity share a band: 1 - (1 - J^rows)^bands."""
    return float(1 - (1 - jaccard**rows) ** bands)


def choose_bands(hashes: int, jaccard: float, recall: float) -> tuple[int, int]:
    """(bands, rows): the longest rows by which a pair at exactly this similarity still meets with this chance."""
    fitting = [r for r in range(1, hashes + 1) if chance_to_meet(jaccard, hashes // r, r) >= recall]
    rows = max(fitting, default=1)
    return hashes // rows, rows


def band_keys(signature: Signatures, bands: int, rows: int) -> Hashes:
    """The key [texts, bands] of each band: equal where all its rows are, and hardly ever else."""
    parts = signature[:, : bands * rows].reshape(len(signature), bands, rows)
    keys = np.zeros(parts.shape[:2], np.uint64)
    for row in range(rows):
        keys = (keys ^ parts[:, :, row]) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def pairs_that_meet(keys: Hashes) -> NDArray[np.int64]:
    """Pairs (i, j), i < j, of equal keys: each text with the first of its group and up to 8 just before it.

    So a group of n gives at most 9 n pairs, not n^2 / 2.
    """
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    new = np.concatenate(([True], ranked[1:] != ranked[:-1])) if len(keys) else np.zeros(0, bool)
    first = np.maximum.accumulate(np.where(new, np.arange(len(keys)), 0))
    found = []
    for distance in range(1, _PREDECESSORS + 1):
        later = np.flatnonzero(np.arange(len(keys)) - first >= distance)
        found.append(np.stack([order[later - distance], order[later]], axis=1))
    far = np.flatnonzero(np.arange(len(keys)) - first > _PREDECESSORS)
    found.append(np.stack([order[first[far]], order[far]], axis=1))
    return np.concatenate(found)


def jaccard(one: NDArray[np.unsignedinteger], other: NDArray[np.unsignedinteger]) -> float:
    """|A and B| / |A or B| of two sorted arrays without repeats; 0 where both are empty."""
    both = np.concatenate([one, other])
    both.sort(kind="stable")
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / max(len(both) - shared, 1)
