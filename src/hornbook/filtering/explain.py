"""Why one document was kept or dropped: its score, what moved it, its nearest labelled documents, its copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hornbook.core.records import Document
from hornbook.core.shards import read_json, read_table, shards
from hornbook.filtering.features import is_numbered, set_of
from hornbook.filtering.files import JUDGE, LABELLED, MATRIX, QUALITY, THRESHOLD
from hornbook.filtering.table import from_table, rows_of
from hornbook.quality.choice import score_of
from hornbook.quality.features import Features
from hornbook.quality.forest import Judge

CLUSTERS = "clusters.parquet"
CLUSTER_COLUMNS = ("id", "source", "reason", "similarity", "kept_because")
SHOWN = 8
NEAREST = 5


@dataclass(frozen=True)
class Places:
    """Where the parts of an explanation lie: the folders of filter and judge, and those of what they were made from."""

    filter: Path
    judge: Path
    labels: Path | None = None
    documents: Path | None = None
    features: Path | None = None
    again: Mapping[str, Path] = field(default_factory=dict)
    """Name of a second judging -> its folder."""


def explain(document: Document, places: Places) -> dict[str, Any]:
    """All that is known of why a document scored what it did; a part that does not apply is empty or None."""
    row = _scored(places.judge, document.id)
    limits, quality = read_json(places.filter / THRESHOLD), read_json(places.filter / QUALITY)
    stratum = row[quality["strata"]]
    own = limits["by_stratum"].get(stratum)
    labels = _labels(places.labels, quality) if places.labels else {}
    found = {
        "id": document.id,
        "source": document.source,
        **{name: row[name] for name in ("score", "topic", "licence", "origin", "bytes", "comment_density")},
        "scored_by": quality["score"],
        "better_than": _share_below(places.judge, row["score"]),
        "threshold": score_of(limits["general"]),
        "stratum": stratum,
        "stratum_threshold": None if own is None else score_of(own),
        "label": _label(labels.get(document.id), document.id, places),
        "moved": [],
        "nearest": [],
        "cluster": copies_of(places.documents, document.id) if places.documents else [],
    }
    if places.features is None:
        return found
    features = from_table(rows_of(places.features, [document.id])[1])
    if not (places.judge / MATRIX).is_file():  # the shipped classifier: what it was fitted to is not here
        return {**found, "moved": _moved(features, None, places.judge)}
    matrix = _matrix(places.judge)
    return {
        **found,
        "moved": _moved(features, matrix, places.judge),
        "nearest": _nearest(document.id, features, matrix, places.judge, labels),
    }


def _scored(folder: Path, id_: str) -> dict[str, Any]:
    """The row of the scores that holds a document; a shard's ids are read at a time."""
    for path in shards(folder):
        ids = read_table(path, ["id"])["id"]
        index = pc.index(ids, pa.scalar(id_, ids.type)).as_py()
        if index >= 0:
            return dict(read_table(path).slice(index, 1).to_pylist()[0])
    raise KeyError(id_)


def _share_below(folder: Path, score: float) -> float:
    """The share of all documents with a lower score."""
    below = total = 0
    for path in shards(folder):
        scores = read_table(path, ["score"])["score"].to_numpy()
        below, total = below + int((scores < score).sum()), total + len(scores)
    return below / max(total, 1)


def _labels(folder: Path, quality: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Document -> its row among the labelled, without its text, and whether it counted as good for this filter."""
    columns, bar = ["id", "source", "label", "why", "failed"], quality.get("good_label")
    rows = (row for path in shards(folder) for row in read_table(path, columns).to_pylist())
    return {row["id"]: {**row, "good": _is_good(row["label"], bar)} for row in rows}


def _is_good(label: float | None, bar: float | None) -> bool | None:
    return None if label is None or bar is None else label >= bar


def _label(row: Mapping[str, Any] | None, id_: str, places: Places) -> dict[str, Any] | None:
    if row is None:
        return None
    again = {name: _labels(folder, {}).get(id_) for name, folder in places.again.items()}
    seconds = {name: {k: second[k] for k in ("label", "why")} for name, second in again.items() if second}
    return {**{name: row[name] for name in ("label", "good", "why", "failed")}, "again": seconds}


def _matrix(folder: Path) -> Any:
    from safetensors.numpy import load_file

    return load_file(folder / MATRIX)["matrix"]


def _moved(features: Features, matrix: Any, folder: Path) -> list[dict[str, Any]]:
    """What moved the score most: single columns, but numbered ones as the set that they are of."""
    row = features.matrix[0]
    moved = Judge.load(folder / JUDGE).learnt.contributions(row)
    found: list[dict[str, Any]] = []
    by_set: dict[str, float] = {}
    usual = None if matrix is None else np.median(matrix, axis=0)
    for column, name in enumerate(features.names):
        if is_numbered(name):
            by_set[set_of(name)] = by_set.get(set_of(name), 0.0) + float(moved[column])
        else:
            values = {"value": float(row[column]), "usual": None if usual is None else float(usual[column])}
            found.append({"feature": name, "by": float(moved[column]), **values})
    found += [{"feature": name, "by": by, "value": None, "usual": None} for name, by in by_set.items()]
    return sorted(found, key=lambda item: (-abs(item["by"]), item["feature"]))[:SHOWN]


def _nearest(
    id_: str, features: Features, matrix: Any, folder: Path, labels: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The labelled documents whose features are most alike: distance over columns of deviation 1, per column."""
    deviation = matrix.std(axis=0)
    deviation[deviation < 1e-9] = 1.0
    distances = np.sqrt((((matrix - features.matrix[0]) / deviation) ** 2).mean(axis=1))
    ids = read_table(folder / LABELLED, ["id"])["id"].to_pylist()
    order = [int(index) for index in np.argsort(distances, kind="stable") if ids[index] != id_]
    return [
        {
            "id": ids[index],
            **{name: labels.get(ids[index], {}).get(name) for name in ("source", "label", "good", "why")},
            "distance": float(distances[index]),
        }
        for index in order[:NEAREST]
    ]


def copies_of(folder: Path, id_: str) -> list[dict[str, Any]]:
    """The copies that were dropped for this document."""
    path = folder / CLUSTERS
    if not path.is_file():
        return []
    rows = pq.read_table(path, filters=[("kept_id", "=", id_)]).to_pylist()
    return [{name: row.get(name) for name in CLUSTER_COLUMNS} for row in rows]
