"""The random forest: learnt by scikit-learn, kept as plain tensors, so that a score needs no pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hornbook.core.shards import write_bytes
from hornbook.quality.features import Matrix

LEAF = -1
Scores = npt.NDArray[np.float64]
Good = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ForestShape:
    """How many trees, and how small a leaf may get."""

    trees: int
    leaf_documents: int


def learn(matrix: Matrix, good: Good, shape: ForestShape, seed: int) -> Any:
    """A fitted scikit-learn RandomForestClassifier; the same seed gives the same trees on any machine."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        n_estimators=shape.trees,
        min_samples_leaf=shape.leaf_documents,
        class_weight="balanced",
        random_state=seed,
        n_jobs=1,
    )
    return forest.fit(matrix, good)


@dataclass(frozen=True)
class Forest:
    """Decision trees as arrays, a node a row: its column, threshold, children (or LEAF) and share of good."""

    roots: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    children: npt.NDArray[np.int64]
    good_share: npt.NDArray[np.float64]

    @classmethod
    def of(cls, learnt: Any) -> Forest:
        """The trees of a fitted RandomForestClassifier of two classes, the second being good."""
        trees = [estimator.tree_ for estimator in learnt.estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
        children = [
            np.where(pair == LEAF, LEAF, pair + root)
            for tree, root in zip(trees, roots, strict=True)
            for pair in [np.stack([tree.children_left, tree.children_right], axis=1)]
        ]
        shares = [tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1) for tree in trees]
        return cls(
            roots.astype(np.int64),
            np.concatenate([tree.feature for tree in trees]).clip(0).astype(np.int64),
            np.concatenate([tree.threshold for tree in trees]),
            np.concatenate(children).astype(np.int64),
            np.concatenate(shares),
        )

    def scores(self, matrix: Matrix) -> Scores:
        """(documents,) probabilities of good: the mean over the trees of the share of good in the leaf reached."""
        total = np.zeros(len(matrix))
        rows = np.arange(len(matrix))
        for root in self.roots:
            node = np.full(len(matrix), root)
            while (inner := self.children[node, 0] != LEAF).any():
                right = matrix[rows, self.column[node]] > self.threshold[node]
                node = np.where(inner, self.children[node, right.astype(np.int64)], node)
            total += self.good_share[node]
        return total / len(self.roots)

    def save(self, path: Path) -> None:
        """Write the arrays as safetensors."""
        from safetensors.numpy import save

        write_bytes(path, save({name: np.ascontiguousarray(value) for name, value in vars(self).items()}))

    @classmethod
    def load(cls, path: Path) -> Forest:
        """The forest that `save` wrote."""
        from safetensors.numpy import load_file

        return cls(**load_file(path))
