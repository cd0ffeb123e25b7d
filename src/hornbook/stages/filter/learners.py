"""A random forest and two rivals that learn good from labels, kept as plain tensors: a score needs no pickle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hornbook.core.scores import Good, Scores
from hornbook.core.shards import write_bytes
from hornbook.stages.filter.statistics import Matrix

LEAF = -1
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """How many trees (boosting: rounds), how small a leaf may get, and how many threads fit them."""

    trees: int
    leaf_documents: int
    threads: int = 1


class Learnt(Protocol):
    """What was learnt: scores, what moved one of them, and how much each column counts."""

    def scores(self, matrix: Matrix) -> Scores:
        """(documents,) from 0 (bad) to 1 (good); only their order is meant before they are calibrated."""

    def contributions(self, row: Matrix) -> Floats:
        """(columns,) what each column added to or took from this document's score or, past a sigmoid, its logit."""

    def importances(self) -> Floats:
        """(columns,) at least 0, with sum 1."""


@dataclass(frozen=True)
class Trees:
    """Decision trees as arrays, a node a row: its column, threshold, children (or LEAF), value and documents.

    A score is the mean of the values reached (a forest: shares of good), or, where `boosted`, the sigmoid of
    base + their sum.
    """

    roots: Integers
    column: Integers
    threshold: Floats
    children: Integers
    value: Floats
    weights: Floats
    """(columns,) importances."""
    base: Floats
    boosted: npt.NDArray[np.bool_]

    def scores(self, matrix: Matrix) -> Scores:
        total = self.sums(matrix)
        return sigmoid(self.base + total) if self.boosted else total / len(self.roots)

    def sums(self, matrix: Matrix) -> Floats:
        """(documents,) sums of the values reached."""
        total = np.zeros(len(matrix))
        rows = np.arange(len(matrix))
        for root in self.roots:
            node = np.full(len(matrix), root)
            while (inner := self.children[node, 0] != LEAF).any():
                right = matrix[rows, self.column[node]] > self.threshold[node]
                node = np.where(inner, self.children[node, right.astype(np.int64)], node)
            total += self.value[node]
        return total

    def contributions(self, row: Matrix) -> Floats:
        """Each step down a tree changes the value by what the step's column contributed (Saabas, 2014)."""
        found = np.zeros(len(self.weights))
        for root in self.roots:
            node = int(root)
            while self.children[node, 0] != LEAF:
                column = self.column[node]
                below = int(self.children[node, int(row[column] > self.threshold[node])])
                found[column] += self.value[below] - self.value[node]
                node = below
        return found if self.boosted else found / len(self.roots)

    def importances(self) -> Floats:
        return self.weights


@dataclass(frozen=True)
class Linear:
    """Logistic regression on columns brought to mean 0 and deviation 1."""

    mean: Floats
    deviation: Floats
    weight: Floats
    base: Floats

    def scores(self, matrix: Matrix) -> Scores:
        return sigmoid((matrix - self.mean) / self.deviation @ self.weight + self.base)

    def contributions(self, row: Matrix) -> Floats:
        moved: Floats = (row - self.mean) / self.deviation * self.weight
        return moved

    def importances(self) -> Floats:
        size: Floats = np.abs(self.weight) / (np.abs(self.weight).sum() or 1.0)
        return size


def learn_forest(matrix: Matrix, good: Good, shape: Shape, seed: int) -> Trees:
    """scikit-learn's RandomForestClassifier, the paper's choice; the same seed gives the same trees on any machine."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        n_estimators=shape.trees,
        min_samples_leaf=shape.leaf_documents,
        class_weight="balanced",
        random_state=seed,
        n_jobs=shape.threads,
    ).fit(matrix, good)
    trees = [estimator.tree_ for estimator in forest.estimators_]
    values = [tree.value[:, 0, 1] / tree.value[:, 0].sum(axis=1) for tree in trees]
    return flat(trees, values, _importances(forest), None)


def learn_boosting(matrix: Matrix, good: Good, shape: Shape, seed: int) -> Trees:
    """scikit-learn's GradientBoostingClassifier: shallow trees, each on half the documents and few columns."""
    from sklearn.ensemble import GradientBoostingClassifier

    boosting = GradientBoostingClassifier(
        n_estimators=shape.trees,
        learning_rate=0.05,
        max_depth=3,
        min_samples_leaf=shape.leaf_documents,
        subsample=0.5,
        max_features="sqrt",
        random_state=seed,
    ).fit(matrix, good)
    trees = [tree.tree_ for tree in boosting.estimators_[:, 0]]
    values = [boosting.learning_rate * tree.value[:, 0, 0] for tree in trees]
    found = flat(trees, values, _importances(boosting), 0.0)
    return replace(found, base=boosting.decision_function(matrix[:1]) - found.sums(matrix[:1]))


def learn_linear(matrix: Matrix, good: Good, shape: Shape, seed: int) -> Linear:
    """scikit-learn's LogisticRegression, strongly regularised: embeddings have more columns than there are labels."""
    from sklearn.linear_model import LogisticRegression

    mean = matrix.mean(axis=0, dtype=np.float64)
    deviation = matrix.std(axis=0, dtype=np.float64)
    deviation[deviation < 1e-9] = 1.0
    scaled = (matrix - mean) / deviation
    strength = 1.0 / np.sqrt(matrix.shape[1])
    fitted = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000).fit(scaled, good)
    return Linear(mean, deviation, fitted.coef_[0], fitted.intercept_)


Learn = Callable[[Matrix, Good, Shape, int], Learnt]
LEARNERS: dict[str, Learn] = {
    "forest": learn_forest,
    "linear": learn_linear,
    "gradient_boosting": learn_boosting,
}
KINDS: dict[str, Callable[..., Learnt]] = {"forest": Trees, "linear": Linear, "gradient_boosting": Trees}


@dataclass(frozen=True)
class Judge:
    """What was learnt and the line that turns its scores into probabilities: sigmoid(slope x logit + offset)."""

    learner: str
    learnt: Learnt
    slope: float = 1.0
    offset: float = 0.0

    def scores(self, matrix: Matrix) -> Scores:
        """(documents,) calibrated probabilities of good."""
        return sigmoid(self.slope * to_logit(self.learnt.scores(matrix)) + self.offset)

    def save(self, path: Path) -> None:
        """Write the arrays as safetensors."""
        from safetensors.numpy import save

        arrays = {
            name: np.ascontiguousarray(np.atleast_1d(value)) for name, value in vars(self.learnt).items()
        }
        line = np.array([self.slope, self.offset])
        write_bytes(path, save({**arrays, "line": line}, {"learner": self.learner}))

    @classmethod
    def load(cls, path: Path) -> Judge:
        """The judge that `save` wrote."""
        from safetensors import safe_open

        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            learner = file.metadata()["learner"]
        slope, offset = arrays.pop("line")
        return cls(learner, KINDS[learner](**arrays), float(slope), float(offset))


def calibrated(scores: Scores, good: Good) -> tuple[float, float]:
    """Slope and offset of the line on logits that makes scores of unseen documents probabilities (Platt, 1999).

    Good and bad count as (n + 1) / (n + 2) and 1 / (n + 2) as Platt has it, and the slope is never below 0.01: a
    forest that learnt nothing gives nearly the same score to all, in its own order.
    """
    from scipy.optimize import minimize

    logit = to_logit(scores)
    count = np.array([(~good).sum(), good.sum()])
    target = np.where(good, (count[1] + 1) / (count[1] + 2), 1 / (count[0] + 2))

    def loss(line: Floats) -> tuple[float, Floats]:
        z = line[0] * logit + line[1]
        gap = sigmoid(z) - target
        return float(np.logaddexp(0, z).sum() - target @ z), np.array([gap @ logit, gap.sum()])

    found = minimize(
        loss, np.array([1.0, 0.0]), jac=True, bounds=[(0.01, 50.0), (-50.0, 50.0)], method="L-BFGS-B"
    )
    return float(found.x[0]), float(found.x[1])


def sigmoid(values: Any) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), np.float64)


def to_logit(scores: Scores) -> Floats:
    """log(p / (1 - p)), within 1e-6 of the ends."""
    inside = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)


def _importances(fitted: Any) -> Floats:
    """The importances of the columns; zeros where no split of any tree told good from bad."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.asarray(fitted.feature_importances_, np.float64))


def flat(trees: list[Any], values: list[Floats], weights: Floats, base: float | None) -> Trees:
    """scikit-learn's trees in one set of arrays; boosted where there is a base."""
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    children = [
        np.where(pair == LEAF, LEAF, pair + root)
        for tree, root in zip(trees, roots, strict=True)
        for pair in [np.stack([tree.children_left, tree.children_right], axis=1)]
    ]
    return Trees(
        roots.astype(np.int64),
        np.concatenate([tree.feature for tree in trees]).clip(0).astype(np.int64),
        np.concatenate([tree.threshold for tree in trees]),
        np.concatenate(children).astype(np.int64),
        np.concatenate(values),
        np.asarray(weights, np.float64),
        np.array([base or 0.0]),
        np.array([base is not None]),
    )
