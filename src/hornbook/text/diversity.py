"""How different the texts of a set are from each other, by measures that need no model.

distinct-n: Li et al., 2016. Compression ratio: Shaib et al., Standardizing the Measurement of Text Diversity, 2024.
Sets of different size do not compare: cut them to the same number of tokens first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornbook.text.hashes import Hashes
from hornbook.text.minhash import band_keys, choose_bands, jaccard, pairs_that_meet, signatures
from hornbook.text.ngrams import gram_hashes, words

TOKEN = re.compile(r"\w+|[^\w\s]")
"""A token, for measuring: a word or a mark; no teacher's own tokenizer, so that teachers compare."""
GRAM_WORDS = 5
HASHES = 128
STEPS = 20


def count_tokens(texts: Sequence[str]) -> int:
    """Words and marks of all texts together."""
    return sum(len(TOKEN.findall(text)) for text in texts)


def cut_to(texts: Sequence[str], tokens: int) -> list[str]:
    """The first texts with this many tokens together, the last of them cut off where that is reached."""
    kept: list[str] = []
    for text in texts:
        ends = [match.end() for match in TOKEN.finditer(text)]
        if len(ends) >= tokens:
            return [*kept, text[: ends[tokens - 1]]] if tokens else kept
        tokens -= len(ends)
        kept.append(text)
    return kept


def measure(texts: Sequence[str], near: float = 0.5) -> dict[str, Any]:
    """The diversity of texts in their order; every value but `compression` and `near_duplicates` grows with it.

    `distinct_<n>`: share of different word n-grams among all. `compression`: the share of its bytes to which all text
    together shrinks. `near_duplicates`: share of texts with an earlier one of this Jaccard similarity (word
    5-grams). `new_per_thousand`: word 5-grams that no earlier text has, per thousand tokens, and `curve` the same
    for successive parts of the set, as [tokens so far, new per thousand].
    """
    found = [words([text]).hashes for text in texts]
    grams = [np.unique(gram_hashes(hashes, min(GRAM_WORDS, max(len(hashes), 1)))) for hashes in found]
    tokens = [len(TOKEN.findall(text)) for text in texts]
    new = _new_grams(grams)
    total = sum(tokens)
    return {
        "texts": len(texts),
        "tokens": total,
        **{f"distinct_{n}": _distinct(found, n) for n in (1, 2, 3)},
        "compression": _compression(texts),
        "near_duplicates": _near_duplicates(grams, near),
        "new_per_thousand": 1000 * float(new.sum()) / total if total else 0.0,
        "curve": _curve(tokens, new),
    }


def _distinct(texts: Sequence[Hashes], length: int) -> float:
    grams = [gram_hashes(hashes, length) for hashes in texts]
    every = np.concatenate(grams) if grams else np.zeros(0, np.uint64)
    return len(np.unique(every)) / len(every) if len(every) else 0.0


def _compression(texts: Sequence[str]) -> float:
    import zstandard

    data = "\n\n".join(texts).encode("utf-8", "surrogatepass")
    parameters = zstandard.ZstdCompressionParameters.from_level(9, window_log=27, enable_ldm=True)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compress(data)
    return len(packed) / len(data) if data else 1.0


def _new_grams(grams: Sequence[Hashes]) -> NDArray[np.int64]:
    """For each text how many of its grams no text before it has."""
    if not grams:
        return np.zeros(0, np.int64)
    owners = np.repeat(np.arange(len(grams)), [len(g) for g in grams])
    _, first = np.unique(np.concatenate(grams), return_index=True)
    return np.bincount(owners[first], minlength=len(grams)).astype(np.int64)


def _near_duplicates(grams: Sequence[Hashes], near: float) -> float:
    if len(grams) < 2:
        return 0.0
    offsets = np.concatenate(([0], np.cumsum([len(g) for g in grams])))
    bands, rows = choose_bands(HASHES, near, 0.95)
    keys = band_keys(signatures(np.concatenate(grams), offsets, HASHES), bands, rows)
    pairs = np.unique(np.concatenate([pairs_that_meet(keys[:, band]) for band in range(bands)]), axis=0)
    copies = {int(max(a, b)) for a, b in pairs if jaccard(grams[a], grams[b]) >= near}
    return len(copies) / len(grams)


def _curve(tokens: Sequence[int], new: NDArray[np.int64]) -> list[list[float]]:
    """New grams per thousand tokens in up to STEPS successive parts of about as many tokens."""
    ends = np.cumsum(tokens)
    if not len(ends) or not ends[-1]:
        return []
    cuts = np.searchsorted(ends, np.linspace(0, ends[-1], STEPS + 1)[1:-1], side="left") + 1
    parts = np.unique(np.concatenate(([0], cuts, [len(ends)])))
    points = []
    for low, high in pairwise(parts):
        size = int(ends[high - 1] - (ends[low - 1] if low else 0))
        if size:
            points.append([int(ends[high - 1]), 1000 * float(new[low:high].sum()) / size])
    return points
