"""From labels to a judge of documents, and to what can be said of how far it is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hornbook.core.errors import StageError
from hornbook.core.records import Document, documents
from hornbook.core.shards import read_table, shards, write_bytes, write_json
from hornbook.core.tools import Tools
from hornbook.filtering.features import set_of
from hornbook.filtering.settings import FilterConfig
from hornbook.filtering.table import from_table, rows_of
from hornbook.quality.features import Features, Matrix
from hornbook.quality.forest import LEARNERS, Good, Judge, Scores, calibrated
from hornbook.quality.trust import (
    calibration,
    calibration_error,
    cross_calibrated,
    interval,
    learning_curve,
    out_of_fold,
    resamples,
    splits,
    trust,
)
from hornbook.text.statistics import comment_density
from hornbook.text.topics import origin

FEWEST_LABELS = 10
SHOWN_IMPORTANCES = 100
JUDGE = "judge.safetensors"
TRUST = "trust.json"
LABELLED = "labelled.safetensors"
"""The features of the labelled documents, in the order of trust.json's out_of_fold."""


@dataclass(frozen=True)
class Labelled:
    """Documents with their labels, and which of them count as good; of the filter's judge also their features."""

    documents: list[Document]
    labels: Scores
    good: Good
    good_label: float
    features: Features | None = None


def labelled(folder: Path, config: FilterConfig, measured: Path | None = None) -> Labelled:
    """Every document with a label, and which of them are good; StageError where nothing can be learnt.

    With the folder of their features, those of a shard that could not be measured are left out.
    """
    found: list[tuple[Document, float]] = []
    for path in shards(folder):
        table = read_table(path)
        table = table.filter(table["label"].is_valid())
        found += zip(documents(table), map(float, table["label"].to_pylist()), strict=True)
    place, rows = rows_of(measured, [document.id for document, _ in found]) if measured else ({}, None)
    found = [item for item in found if rows is None or item[0].id in place]
    if len(found) < FEWEST_LABELS:
        raise StageError(
            f"filter: {len(found)} labelled documents in {folder}; at least {FEWEST_LABELS} are needed: "
            "raise annotate's sample"
        )
    labels = np.array([label for _, label in found])
    bar = config.good_label
    if bar is None:
        bar = float(np.quantile(labels, 1 - (config.good_share or 0), method="higher"))
    good = labels >= bar
    if min(good.sum(), len(good) - good.sum()) < 2:
        raise StageError(
            f"filter: {good.sum()} of {len(good)} labels are at least {bar:g}; "
            "fewer than two on one side teach nothing: change good_share or good_label"
        )
    known = [document for document, _ in found]
    features = from_table(rows.take([place[document.id] for document in known])) if rows is not None else None
    return Labelled(known, labels, good, bar, features)


def learn(config: FilterConfig, known: Labelled, out: Path, tools: Tools) -> None:
    """Write the judge, and in trust.json how far it and its rivals are right about packages they never saw."""
    assert known.features is not None
    count, columns = known.features.matrix.shape
    tools.progress.say(f"  learning from {count} labels, {columns} features")
    _write_matrix(out / LABELLED, known.features.matrix)
    write_json(out / TRUST, _judge(config, known, known.features, out, tools))


def _judge(
    config: FilterConfig, known: Labelled, features: Features, out: Path, tools: Tools
) -> dict[str, Any]:
    matrix, good, seed = features.matrix, known.good, tools.seed
    shape = config.shape(tools.workers.count)
    groups = [origin(document.source, document.meta) for document in known.documents]
    parts = splits(good, groups, seed)
    unseen = {name: out_of_fold(way, matrix, good, parts, shape, seed) for name, way in LEARNERS.items()}
    scores = unseen[config.score]
    probability = cross_calibrated(scores, good, parts)
    judge = Judge(config.score, LEARNERS[config.score](matrix, good, shape, seed), *calibrated(scores, good))
    judge.save(out / JUDGE)
    learners = {name: trust(found, good, known.labels, seed) for name, found in unseen.items()}
    return {
        **learners[config.score],
        "learners": learners,
        "groups": len(set(groups)),
        "calibration": calibration(probability, good),
        "calibration_before": calibration(scores, good),
        "calibration_error": calibration_error(probability, good),
        "calibration_error_before": calibration_error(scores, good),
        "learning_curve": learning_curve(LEARNERS[config.score], matrix, good, parts, shape, seed),
        **_importances(config, judge, features),
        "out_of_fold": [
            [document.id, score] for document, score in zip(known.documents, probability, strict=True)
        ],
    }


def _importances(config: FilterConfig, judge: Judge, features: Features) -> dict[str, Any]:
    """How much each column counts, and each feature set."""
    weights = judge.learnt.importances()
    by_set = dict.fromkeys(config.features, 0.0)
    for name, weight in zip(features.names, weights, strict=True):
        by_set[set_of(name, config.features)] += float(weight)
    ranked = sorted(zip(features.names, weights.tolist(), strict=True), key=lambda item: (-item[1], item[0]))
    return {
        "columns": len(ranked),
        "importances": [[name, round(weight, 6)] for name, weight in ranked[:SHOWN_IMPORTANCES]],
        "importance_by_set": {name: round(weight, 6) for name, weight in by_set.items()},
    }


def against_baselines(
    known: Labelled, unseen: Mapping[str, float], share: float, seed: int
) -> dict[str, Any]:
    """The mean label of what each way keeps of the labelled documents, at this share of their bytes.

    The judge's scores are out of fold. Each is [value, low, high] over 95% of resamples, and `beats` is the judge's
    less the baseline's, on the same resamples.
    """
    sizes = np.array([len(document.text.encode("utf-8", "surrogatepass")) for document in known.documents])
    ways: dict[str, Scores] = {
        "judge": np.array([unseen[document.id] for document in known.documents]),
        "comment_density": np.array([comment_density(document.text) for document in known.documents]),
    }
    kept = {name: _best(scores, sizes, share) for name, scores in ways.items()}
    draws = resamples(len(sizes), seed)
    labels, count = known.labels, len(sizes)

    def mean(name: str) -> Any:
        return lambda i: _mean(labels[i][kept[name][i]])

    found: dict[str, Any] = {name: interval(mean(name), count, draws) for name in ways}
    found["random"] = interval(lambda i: float(labels[i].mean()), count, draws)
    found["beats"] = {
        "random": interval(lambda i: mean("judge")(i) - float(labels[i].mean()), count, draws),
        "comment_density": interval(lambda i: mean("judge")(i) - mean("comment_density")(i), count, draws),
    }
    return {"share": share, **found}


def _mean(values: Scores) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _best(scores: Scores, sizes: Any, share: float) -> Good:
    """Which documents are the best by score within a share of all bytes; the best one always."""
    order = np.argsort(-scores, kind="stable")
    fitting = int(np.searchsorted(np.cumsum(sizes[order]), share * sizes.sum(), side="right"))
    kept = np.zeros(len(scores), np.bool_)
    kept[order[: max(1, fitting)]] = True
    return kept


def _write_matrix(path: Path, matrix: Matrix) -> None:
    from safetensors.numpy import save

    write_bytes(path, save({"matrix": np.ascontiguousarray(matrix)}))
