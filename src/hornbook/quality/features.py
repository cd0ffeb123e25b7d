"""Features of texts: numbers in named columns, from which the forest learns what a teacher calls good."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xxhash

Matrix = npt.NDArray[np.float32]

NGRAM_BUCKETS = 128
_TOKEN = re.compile(r"[A-Za-z_]\w*|\d+|[^\w\s]+")


@dataclass(frozen=True)
class Features:
    """A matrix of (texts, columns), all finite, and the name of each column."""

    matrix: Matrix
    names: tuple[str, ...]


Extract = Callable[[Sequence[str]], Features]


def beginning(text: str, chars: int) -> str:
    """The first characters of a text, cut at the end of a line where one is near: what teacher and judge see."""
    if len(text) <= chars:
        return text
    whole_lines = text[:chars].rpartition("\n")[0]
    return whole_lines if len(whole_lines) >= chars // 2 else text[:chars]


def from_statistics(statistics: Callable[[str], Mapping[str, float]]) -> Extract:
    """Features that are one text's statistics by name; `statistics` gives the same names for every text."""

    def extract(texts: Sequence[str]) -> Features:
        names = tuple(statistics(""))
        rows = [statistics(text) for text in texts]
        values = np.array([[row[name] for name in names] for row in rows], np.float32)
        return Features(np.nan_to_num(values.reshape(len(rows), len(names))), names)

    return extract


def token_ngrams(texts: Sequence[str]) -> Features:
    """Shares of one- and two-token sequences, hashed with signs into NGRAM_BUCKETS columns of unit length."""
    matrix = np.stack([_hashed_grams(text) for text in texts]) if texts else np.zeros((0, NGRAM_BUCKETS))
    return Features(matrix.astype(np.float32), tuple(f"ngrams.{bucket}" for bucket in range(NGRAM_BUCKETS)))


def side_by_side(parts: Sequence[Features]) -> Features:
    """The columns of all parts in order, for the same texts."""
    matrix = np.concatenate([part.matrix for part in parts], axis=1)
    return Features(matrix, tuple(name for part in parts for name in part.names))


def _hashed_grams(text: str) -> Matrix:
    tokens = _TOKEN.findall(text)
    row = np.zeros(NGRAM_BUCKETS, np.float32)
    for gram, count in Counter((*tokens, *map(" ".join, pairwise(tokens)))).items():
        bits = xxhash.xxh3_64_intdigest(gram.encode("utf-8", "surrogatepass"))
        row[bits % NGRAM_BUCKETS] += count if bits >> 63 else -count
    return row / np.float32(np.linalg.norm(row) or 1.0)
