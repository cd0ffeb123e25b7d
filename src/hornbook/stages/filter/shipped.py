"""The classifier that comes with hornbook: trees fitted to documents that a large language model graded 0 to 5.

shipped.md says how it was made and what it gets wrong; bench/filter.py measures it and fits it again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from hornbook.core.scores import Good, Scores
from hornbook.stages.filter.learners import Floats, Judge, Trees, calibrated, flat
from hornbook.stages.filter.lexical import LEXICAL, Text, lexical_features
from hornbook.stages.filter.parsed import PARSED, parsed_features
from hornbook.stages.filter.statistics import Matrix

GOOD_SCORE = 3
"""The lowest of the reader's scores that counts as good: a student learns something."""
BEST_SCORE = 5
CLASSIFYING_TREES, REGRESSING_TREES = 40, 80
"""The first learn good from bad, the second the score; together they order best."""
LEAF_DOCUMENTS = 4
_DATA = files("hornbook.stages.filter") / "shipped.safetensors"


def document_features(text: str) -> dict[str, float]:
    """All lexical and parsed features of a whole document; the names are those of LEXICAL, then PARSED."""
    held = Text(text)
    return {**lexical_features(held), **parsed_features(held)}


NAMES = (*LEXICAL, *PARSED)


def sha256() -> str:
    """The hash of the packaged classifier, as fingerprints hold it."""
    return hashlib.sha256(_DATA.read_bytes()).hexdigest()


@cache
def load() -> Judge:
    """The packaged classifier; its scores are calibrated probabilities that a reader gives 3 or more."""
    with as_file(_DATA) as path:
        return Judge.load(path)


def fit(matrix: Matrix, scores: Scores, sources: Sequence[str], seed: int = 1) -> Judge:
    """A classifier of documents (rows, NAMES) by a reader's scores 0 to 5, calibrated with whole sources left out."""
    unseen = out_of_source(matrix, scores, sources, seed)
    line = calibrated(unseen, scores >= GOOD_SCORE)
    return Judge("forest", fit_trees(matrix, scores, sources, seed), *line)


def out_of_source(matrix: Matrix, scores: Scores, sources: Sequence[str], seed: int = 1) -> Scores:
    """(documents,) scores, each by trees that saw no document of its source; not calibrated."""
    found, names = np.zeros(len(scores)), np.asarray(sources)
    for name in sorted(set(sources)):
        seen = names != name
        trees = fit_trees(matrix[seen], scores[seen], list(names[seen]), seed)
        found[~seen] = trees.scores(matrix[~seen])
    return found


def fit_trees(matrix: Matrix, scores: Scores, sources: Sequence[str], seed: int) -> Trees:
    """A classifying and a regressing forest in one set of trees, whose values lie between 0 and 1."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    shape = {"min_samples_leaf": LEAF_DOCUMENTS, "random_state": seed}
    weight = _source_weights(sources)
    good: Good = scores >= GOOD_SCORE
    kind = RandomForestClassifier(CLASSIFYING_TREES, class_weight="balanced", **shape)
    kind.fit(matrix, good, weight)
    grade = RandomForestRegressor(REGRESSING_TREES, max_features=0.1, **shape)
    grade.fit(matrix, scores, np.sqrt(weight))
    trees = [fitted.tree_ for fitted in (*kind.estimators_, *grade.estimators_)]
    values = [tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1) for tree in trees[:CLASSIFYING_TREES]]
    values += [tree.value[:, 0, 0] / BEST_SCORE for tree in trees[CLASSIFYING_TREES:]]
    importances = (kind.feature_importances_ + grade.feature_importances_) / 2
    return _compact(flat(trees, values, importances, None))


def _source_weights(sources: Sequence[str]) -> Floats:
    """(documents,) weights with mean 1 that give every source the same sum."""
    counts = Counter(sources)
    weight = np.array([1 / counts[name] for name in sources])
    return np.asarray(weight / weight.mean(), np.float64)


def _compact(trees: Trees) -> Trees:
    """The same trees in 15 bytes a node; thresholds are rounded down, which no comparison with float32 notices."""
    threshold: Any = trees.threshold.astype(np.float32)
    threshold = np.where(threshold > trees.threshold, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    small: dict[str, Any] = {
        "roots": trees.roots.astype(np.int32),
        "column": trees.column.astype(np.uint8),
        "threshold": threshold.astype(np.float32),
        "children": trees.children.astype(np.int32),
        "value": trees.value.astype(np.float16),
    }
    return replace(trees, **small)
