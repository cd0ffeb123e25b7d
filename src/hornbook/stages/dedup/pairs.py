"""Pairs of documents: equal ones, those whose bands meet, and those of them that are truly alike."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hornbook.stages.dedup.components import distinct
from hornbook.stages.dedup.config import Facts, Rule, keepers
from hornbook.stages.dedup.partitions import Numbers, by_hash
from hornbook.stages.dedup.sketch import Corpus, Sets
from hornbook.text.hashes import Hashes, mixed
from hornbook.text.minhash import jaccard, pairs_that_meet

EXACT, EXACT_GONE, BANDS, PAIRS, EDGES = "exact", "exact-gone", "bands", "pairs", "edges"
_BAND_NUMBERS: Hashes = np.arange(1024, dtype=np.uint64)
"""Added to keys, so that equal keys of different bands part."""


class Step(NamedTuple):
    """The argument of each piece of work: on one shard, or on one part."""

    rule: Rule
    corpus: Corpus
    number: int


def scatter_exact(step: Step) -> None:
    """Part of the shards -> their documents' hashes and facts, by hash."""
    _, corpus, part = step
    facts = corpus.facts_of(part)
    columns = {name: facts[name] for name in ("exact", "document", "chars", "licensed")}
    corpus.shuffle(EXACT).put(f"{part:06d}", by_hash(facts["exact"], corpus.parts), columns)


def find_exact(step: Step) -> None:
    """Part of the hashes -> (document, kept, won) of exact copies, by document."""
    rule, corpus, part = step
    exact, document, chars, licensed = corpus.shuffle(EXACT).column(
        part, "exact", "document", "chars", "licensed"
    )
    facts: Facts = {"document": document, "chars": chars, "licensed": licensed.astype(bool)}
    gone = keepers(rule.keep, exact, facts)
    corpus.shuffle(EXACT_GONE).put(f"{part:06d}", corpus.part_of(gone["document"]), gone)


def scatter_bands(step: Step) -> None:
    """Part of the shards -> the band keys of their documents that are no exact copies, by key."""
    _, corpus, part = step
    facts = corpus.facts_of(part)
    (gone,) = corpus.shuffle(EXACT_GONE).column(part, "document")
    alive = np.flatnonzero((facts["shingles"] > 0) & ~np.isin(facts["document"], gone))
    keys = np.concatenate([corpus.keys(shard) for shard in corpus.shards_of(part)])[alive]
    bands = keys.shape[1]
    keys = mixed(keys + _BAND_NUMBERS[:bands]).T.ravel()
    columns = {
        "key": keys,
        "document": np.tile(facts["document"][alive], bands),
        "size": np.tile(facts["shingles"][alive], bands),
    }
    corpus.shuffle(BANDS).put(f"{part:06d}", by_hash(keys, corpus.parts), columns)


def meet(step: Step) -> None:
    """Part of the band keys -> pairs that share one and whose sizes allow the threshold, by their first document."""
    rule, corpus, part = step
    key, document, size = corpus.shuffle(BANDS).column(part, "key", "document", "size")
    pairs = pairs_that_meet(key)
    sizes = size[pairs]
    pairs = document[pairs[sizes.min(axis=1) >= rule.jaccard * sizes.max(axis=1)]]
    one, other = distinct(pairs[:, 0], pairs[:, 1])
    corpus.shuffle(PAIRS).put(f"{part:06d}", corpus.part_of(one), {"one": one, "other": other})


def verify(step: Step) -> tuple[int, int]:
    """Part of the pairs -> those at or above the threshold; how many there were, and how many are."""
    rule, corpus, part = step
    one, other = distinct(*corpus.shuffle(PAIRS).column(part, "one", "other"))
    true = similarities(corpus, one, other) >= rule.jaccard
    columns = {"one": one[true], "other": other[true]}
    corpus.shuffle(EDGES).put(f"{part:06d}", np.full(int(true.sum()), part), columns)
    return len(one), int(true.sum())


def similarities(corpus: Corpus, one: Numbers, other: Numbers) -> NDArray[np.float64]:
    """The real Jaccard of each pair."""
    sets = Sets(corpus)
    pairs = zip(one.tolist(), other.tolist(), strict=True)
    return np.array([jaccard(sets.of(a), sets.of(b)) for a, b in pairs], np.float64)
