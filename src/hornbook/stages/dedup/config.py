"""What a copy is, and which member of a cluster stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hornbook.core.settings import Config
from hornbook.stages.dedup.partitions import groups
from hornbook.text.minhash import choose_bands


class Rule(Config):
    """When two documents are copies, and which one stays."""

    near: bool = True
    """Look for near copies too, not for exact ones alone."""
    jaccard: float = Field(0.75, gt=0, le=1)
    """Documents whose sets of shingles are at least this similar are near copies."""
    shingle_words: int = Field(5, ge=1, le=64)
    """Words in a shingle."""
    hashes: int = Field(128, ge=16, le=1024)
    """Length of a MinHash signature."""
    recall: float = Field(0.99, gt=0, lt=1)
    """Bands are cut so that a pair exactly at the threshold is compared with at least this chance."""
    keep: Literal["first", "longest", "licensed-longest"] = "licensed-longest"
    """Which member of a cluster stays: the first read; the longest; or the longest of those with a licence, if any."""
    clean_licences: tuple[str, ...] = Field((), strict=False)
    """Licences, as meta names them, that count for licensed-longest; empty: any. Of several all must be among them."""
    copied_functions: float = Field(0.0, ge=0, le=1)
    """Drop code of whose functions' text at least this share stands in better documents too, by `keep`, which may
    go themselves; 0 does not look into functions."""
    min_function_chars: int = Field(200, ge=1)
    """Shorter functions are alike by nature and count neither way."""

    @property
    def bands(self) -> tuple[int, int]:
        return choose_bands(self.hashes, self.jaccard, self.recall)


Facts = dict[str, NDArray[Any]]
"""Columns document, chars, licensed."""
LICENSED, LONGER, READ_FIRST = "has a licence", "is longer", "was read first"


class Preference(NamedTuple):
    """Which member of a cluster stays: the one that sorts first by these keys; the same in words, and key by key."""

    keys: Callable[[Facts], tuple[NDArray[Any], ...]]
    words: str
    because: tuple[str, ...]
    """What the one that stays does better than another, by the first key in which they differ."""


KEEP: dict[str, Preference] = {
    "first": Preference(lambda facts: (facts["document"],), "the first read", (READ_FIRST,)),
    "longest": Preference(
        lambda facts: (-facts["chars"], facts["document"]),
        "the longest, then the first read",
        (LONGER, READ_FIRST),
    ),
    "licensed-longest": Preference(
        lambda facts: (~facts["licensed"], -facts["chars"], facts["document"]),
        "one with a licence before others, then the longest, then the first read",
        (LICENSED, LONGER, READ_FIRST),
    ),
}


def keepers(keep: str, group: NDArray[Any], facts: Facts) -> Facts:
    """Columns document, kept and won (by which key, see `because`) of every member of a group that is not kept."""
    keys = KEEP[keep].keys(facts)
    order = np.lexsort((*reversed(keys), group))
    begins, run = groups(group[order])
    first = order[begins][run]
    won = np.stack([key[order] != key[first] for key in keys]).argmax(axis=0).astype(np.int8)
    gone = order != first
    columns = {"document": facts["document"][order], "kept": facts["document"][first], "won": won}
    return {name: values[gone] for name, values in columns.items()}
