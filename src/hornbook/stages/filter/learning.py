"""From labels to a judge of documents, and to what can be said of how far it is right."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.records import Document, documents
from hornbook.core.scores import Good, Scores, interval, resamples
from hornbook.core.shards import read_table, shards, write_bytes, write_table
from hornbook.stages.filter.config import JUDGE, LABELLED, MATRIX, JudgeConfig
from hornbook.stages.filter.feature_sets import from_table, rows_of, set_of
from hornbook.stages.filter.learners import LEARNERS, Judge, calibrated
from hornbook.stages.filter.metrics import (
    calibration,
    calibration_error,
    cross_calibrated,
    learning_curve,
    out_of_fold,
    roc_auc_over_groups,
    splits,
    trust,
)
from hornbook.stages.filter.statistics import Features, Matrix, comment_density
from hornbook.text.topics import origin

FEWEST_LABELS = 10
SHOWN_IMPORTANCES = 100
HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class Labelled:
    """Documents with their labels, and which of them count as good; of the filter's judge also their features."""

    documents: list[Document]
    labels: Scores
    good: Good
    good_label: float
    features: Features | None = None


def labelled(folder: Path, config: JudgeConfig, measured: Path | None = None) -> Labelled:
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
            f"judge: {len(found)} labelled documents in {folder}; at least {FEWEST_LABELS} are needed: "
            "raise annotate.labels"
        )
    labels = np.array([label for _, label in found])
    bar = config.good_label
    if bar is None:
        bar = label_of_share(labels, config.good_share or 0)
    good = labels >= bar
    if min(good.sum(), len(good) - good.sum()) < 2:
        raise StageError(
            f"judge: {good.sum()} of {len(good)} labels are at least {bar:g}; "
            "fewer than two on one side teach nothing: change good_share or good_label"
        )
    known = [document for document, _ in found]
    features = from_table(rows.take([place[document.id] for document in known])) if rows is not None else None
    return Labelled(known, labels, good, bar, features)


def label_of_share(labels: Scores, share: float) -> float:
    """The lowest good label by which the share of good ones comes nearest: of a rubric's labels many are equal."""
    ordered = np.sort(labels)
    bars = np.unique(ordered)[::-1]
    shares = 1 - np.searchsorted(ordered, bars) / len(ordered)
    return float(bars[np.abs(shares - share).argmin()])


def learn(config: JudgeConfig, known: Labelled, out: Path, tools: Tools) -> dict[str, Any]:
    """Write the judge and what it learnt from; how far it and its rivals are right about packages they never saw."""
    assert known.features is not None
    matrix, good, seed = known.features.matrix, known.good, tools.seed
    tools.progress.say(f"  learning from {len(good)} labels, {matrix.shape[1]} features")
    shape = config.shape(tools.workers.count)
    groups = [origin(document.source, document.meta) for document in known.documents]
    parts = splits(good, groups, seed)
    unseen = {name: out_of_fold(way, matrix, good, parts, shape, seed) for name, way in LEARNERS.items()}
    scores = unseen[config.score]
    probability = cross_calibrated(scores, good, parts)
    judge = Judge(config.score, LEARNERS[config.score](matrix, good, shape, seed), *calibrated(scores, good))
    judge.save(out / JUDGE)
    _write_labelled(known, known.features.matrix, probability, out)
    learners = {name: trust(found, good, known.labels, seed) for name, found in unseen.items()}
    return {
        **learners[config.score],
        "features": list(dict.fromkeys(map(set_of, known.features.names))),
        "labels": len(good),
        "good": int(good.sum()),
        "good_label": known.good_label,
        "label_histogram": histogram(known.labels),
        "learners": learners,
        "groups": len(set(groups)),
        "roc_auc_over_groups": roc_auc_over_groups(scores, good, groups, seed),
        "calibration": calibration(probability, good),
        "calibration_before": calibration(scores, good),
        "calibration_error": calibration_error(probability, good),
        "calibration_error_before": calibration_error(scores, good),
        "learning_curve": learning_curve(LEARNERS[config.score], matrix, good, parts, shape, seed),
        **_importances(judge, known.features),
    }


def histogram(values: Scores) -> dict[str, list[float]]:
    """Counts in equal parts of the values' own range."""
    counts, edges = np.histogram(values, bins=HISTOGRAM_BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _write_labelled(known: Labelled, matrix: Matrix, probability: Scores, out: Path) -> None:
    from safetensors.numpy import save

    texts = [document.text for document in known.documents]
    columns = {
        "id": pa.array([document.id for document in known.documents], pa.string()),
        "source": pa.array([document.source for document in known.documents], pa.string()),
        "label": pa.array(known.labels, pa.float64()),
        "good": pa.array(known.good),
        "score": pa.array(probability, pa.float64()),
        "bytes": pa.array([size_bytes(text) for text in texts], pa.int64()),
        "comment_density": pa.array([comment_density(text) for text in texts], pa.float64()),
    }
    write_table(out / LABELLED, pa.table(columns))
    write_bytes(out / MATRIX, save({"matrix": np.ascontiguousarray(matrix)}))


def size_bytes(text: str) -> int:
    """The length of a text in UTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def _importances(judge: Judge, features: Features) -> dict[str, Any]:
    """How much each column counts, and each feature set."""
    weights = judge.learnt.importances()
    by_set: defaultdict[str, float] = defaultdict(float)
    for name, weight in zip(features.names, weights, strict=True):
        by_set[set_of(name)] += float(weight)
    ranked = sorted(zip(features.names, weights.tolist(), strict=True), key=lambda item: (-item[1], item[0]))
    return {
        "columns": len(ranked),
        "importances": [[name, round(weight, 6)] for name, weight in ranked[:SHOWN_IMPORTANCES]],
        "importance_by_set": {name: round(weight, 6) for name, weight in by_set.items()},
    }


def against_baselines(judged: Path, share: float, seed: int) -> dict[str, Any]:
    """The mean label of what each way keeps of the labelled documents, at this share of their bytes, and how many.

    The judge's scores are out of fold. Each is [value, low, high] over 95% of resamples, and `beats` is the judge's
    less the baseline's, on the same resamples.
    """
    known = read_table(judged / LABELLED)
    sizes, labels = known["bytes"].to_numpy(), known["label"].to_numpy()
    ways = {"judge": known["score"].to_numpy(), "comment_density": known["comment_density"].to_numpy()}
    kept = {name: _best(scores, sizes, share) for name, scores in ways.items()}
    draws, count = resamples(len(sizes), seed), len(sizes)

    def mean(name: str) -> Any:
        return lambda i: _mean(labels[i][kept[name][i]])

    found: dict[str, Any] = {name: interval(mean(name), count, draws) for name in ways}
    found["random"] = interval(lambda i: float(labels[i].mean()), count, draws)
    found["beats"] = {
        "random": interval(lambda i: mean("judge")(i) - float(labels[i].mean()), count, draws),
        "comment_density": interval(lambda i: mean("judge")(i) - mean("comment_density")(i), count, draws),
    }
    found["documents"] = {name: int(mask.sum()) for name, mask in kept.items()}
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
