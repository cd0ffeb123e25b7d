"""filter: learn from labelled documents what is worth keeping, score every document, keep the best."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import orjson
import pyarrow as pa
from pydantic import Field, model_validator

from hornbook.core.config import Config
from hornbook.core.errors import StageError
from hornbook.core.records import Document, Drop, documents
from hornbook.core.shards import (
    DROPPED,
    KEPT,
    Counts,
    read_json,
    read_table,
    run_shards,
    shards,
    write_json,
    write_shard,
)
from hornbook.core.tools import Tools
from hornbook.quality.features import (
    Extract,
    Features,
    beginning,
    from_statistics,
    side_by_side,
    token_ngrams,
)
from hornbook.quality.forest import Forest, ForestShape, learn
from hornbook.text.code import code_statistics

FEATURES: dict[str, Extract] = {
    "statistics": from_statistics(code_statistics),
    "ngrams": token_ngrams,
}
FEWEST_LABELS = 10
FOREST = "forest.safetensors"
TRUST = "trust.json"
EXAMPLES = 5
EXAMPLE_CHARS = 900


class FilterConfig(Config):
    """What the forest sees, what counts as good, and how much is kept."""

    features: list[str] = Field(["statistics"], min_length=1)
    """Feature sets side by side: statistics (lexical and structural), ngrams (hashed token n-grams)."""
    excerpt_chars: int = Field(500, ge=50)
    """The features see this much of a document's beginning; annotate's value, so that the forest judges
    what the teacher judged: with whole files the labels of a 500-character excerpt are all but noise."""
    trees: int = Field(300, ge=1, le=10_000)
    """Trees in the forest."""
    leaf_documents: int = Field(3, ge=1)
    """Fewest labelled documents in a leaf."""
    good_share: float | None = Field(None, gt=0, lt=1)
    """The share of labels, best first, that counts as good (this or good_label)."""
    good_label: float | None = None
    """The lowest label that counts as good (this or good_share)."""
    keep_share: float | None = Field(None, gt=0, le=1)
    """The share of documents to keep, best score first (this or min_score)."""
    min_score: float | None = Field(None, ge=0, le=1)
    """The lowest score to keep: the forest's probability of good (this or keep_share)."""

    @model_validator(mode="after")
    def _one_of_each_pair(self) -> Self:
        for one, other in (("good_share", "good_label"), ("keep_share", "min_score")):
            if (getattr(self, one) is None) == (getattr(self, other) is None):
                raise ValueError(f"state exactly one of {one} and {other}")
        for name in self.features:
            if name not in FEATURES:
                raise ValueError(f"features has {name!r}; known: {', '.join(FEATURES)}")
        return self


class _Labelled(NamedTuple):
    documents: list[Document]
    labels: Any
    good: Any
    good_label: float


class _Scoring(NamedTuple):
    shard: Path
    config: FilterConfig
    out: Path


class _Splitting(NamedTuple):
    shard: Path
    out: Path
    threshold: float


def run(config: FilterConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Keep the documents that score at or above the threshold, with column `score`; drop the rest as low_score."""
    labelled = _labelled(inputs["labels"], config)
    if not (out / TRUST).exists():
        _learn(config, labelled, out, tools)
    paths = shards(inputs["documents"])
    scoring = {path.name: _Scoring(path, config, out) for path in paths}
    run_shards("score", _score_shard, scoring, out / "scores", tools)
    scores = np.concatenate([_read_scores(out, path.name) for path in paths]) if paths else np.zeros(0)
    threshold = _threshold(config, scores)
    splitting = {path.name: _Splitting(path, out, threshold) for path in paths}
    counts = run_shards("keep", _split_shard, splitting, out, tools)
    write_json(out / "quality.json", _quality(labelled, scores, threshold, out, tools.seed))
    return {**counts, "labels": len(labelled.documents)}


def _labelled(folder: Path, config: FilterConfig) -> _Labelled:
    """Every document with a label, and which of them are good; StageError where nothing can be learnt."""
    found: list[tuple[Document, float]] = []
    for path in shards(folder):
        table = read_table(path)
        table = table.filter(table["label"].is_valid())
        found += zip(documents(table), map(float, table["label"].to_pylist()), strict=True)
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
    return _Labelled([document for document, _ in found], labels, good, bar)


def _learn(config: FilterConfig, labelled: _Labelled, out: Path, tools: Tools) -> None:
    """Fit the forest and, by cross-validation over packages, find out how far it can be trusted."""
    from hornbook.quality.trust import calibration, out_of_fold_scores, trust

    shape = ForestShape(config.trees, config.leaf_documents)
    features = _features(config, [document.text for document in labelled.documents])
    groups = [_group(document) for document in labelled.documents]
    tools.progress.say(f"  learning from {len(groups)} labels, {features.matrix.shape[1]} features")
    unseen = out_of_fold_scores(features.matrix, labelled.good, groups, shape, tools.seed)
    learnt = learn(features.matrix, labelled.good, shape, tools.seed)
    Forest.of(learnt).save(out / FOREST)
    weights = sorted(zip(features.names, learnt.feature_importances_.tolist(), strict=True), key=_by_weight)
    facts = {
        **trust(unseen, labelled.good, labelled.labels, tools.seed),
        "groups": len(set(groups)),
        "calibration": calibration(unseen, labelled.good),
        "importances": [[name, round(weight, 6)] for name, weight in weights],
        "out_of_fold": [
            [document.id, score] for document, score in zip(labelled.documents, unseen, strict=True)
        ],
    }
    write_json(out / TRUST, facts)


def _by_weight(named: tuple[str, float]) -> tuple[float, str]:
    return -named[1], named[0]


def _features(config: FilterConfig, texts: Sequence[str]) -> Features:
    excerpts = [beginning(text, config.excerpt_chars) for text in texts]
    return side_by_side([FEATURES[name](excerpts) for name in config.features])


def _group(document: Document) -> str:
    """What a fold must not split: the package, or else the first folder of its source."""
    return str(document.meta.get("package") or document.source.partition("/")[0])


def _score_shard(job: _Scoring) -> Counts:
    table = read_table(job.shard, ["id", "text"])
    scores = np.zeros(0)
    if table.num_rows:
        matrix = _features(job.config, table["text"].to_pylist()).matrix
        scores = _forest(job.out / FOREST).scores(matrix)
    scored = pa.table({"id": table["id"], "score": pa.array(scores, pa.float64())})
    return write_shard(job.out / "scores", job.shard.name, scored)


@lru_cache(maxsize=2)
def _forest(path: Path) -> Forest:
    return Forest.load(path)


def _read_scores(out: Path, name: str) -> Any:
    return read_table(out / "scores" / KEPT / name, ["score"])["score"].to_numpy()


def _threshold(config: FilterConfig, scores: Any) -> float:
    """The lowest score that is kept; documents that tie with it are kept too."""
    if config.min_score is not None:
        return config.min_score
    if not len(scores):
        return 0.0
    kept = max(1, round(len(scores) * (config.keep_share or 0)))
    return float(np.sort(scores)[-kept])


def _split_shard(job: _Splitting) -> Counts:
    table = read_table(job.shard)
    scores = _read_scores(job.out, job.shard.name)
    keep = scores >= job.threshold
    kept = table.append_column("score", pa.array(scores, pa.float64())).filter(pa.array(keep))
    dropped = [
        Drop(document, "low_score", f"score {score:.4f} is below {job.threshold:.4f}")
        for document, score in zip(documents(table.filter(pa.array(~keep))), scores[~keep], strict=True)
    ]
    characters = sum(map(len, kept["text"].to_pylist()))
    return write_shard(job.out, job.shard.name, kept, dropped, {"characters.kept": characters})


def _quality(labelled: _Labelled, scores: Any, threshold: float, out: Path, seed: int) -> dict[str, Any]:
    """What the report tells about the filter: labels, trust, scores, and examples drawn by hash from both sides."""
    labels = {
        document.id: label
        for document, label in zip(labelled.documents, labelled.labels.tolist(), strict=True)
    }
    return {
        **read_json(out / TRUST),
        "labels": len(labels),
        "good": int(labelled.good.sum()),
        "good_label": labelled.good_label,
        "threshold": threshold,
        "label_histogram": _histogram(labelled.labels, None),
        "score_histogram": _histogram(scores, (0.0, 1.0)),
        "examples": {part: _examples(out, part, labels, seed) for part in (KEPT, DROPPED)},
    }


def _histogram(values: Any, span: tuple[float, float] | None) -> dict[str, list[float]]:
    counts, edges = np.histogram(values, bins=20, range=span)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _examples(out: Path, part: str, labels: Mapping[str, float], seed: int) -> list[dict[str, Any]]:
    """EXAMPLES documents of one side, chosen by a seeded hash of their ids and so by nobody's taste."""
    best: list[tuple[bytes, Path, int]] = []
    for path in shards(out, part):
        ids = read_table(path, ["id"])["id"].to_pylist()
        best += [
            (hashlib.blake2b(f"{seed}:{id_}".encode()).digest(), path, row) for row, id_ in enumerate(ids)
        ]
        best = sorted(best)[:EXAMPLES]
    return [
        _example(read_table(path).slice(row, 1).to_pylist()[0], out, path.name, labels)
        for _, path, row in best
    ]


def _example(row: Mapping[str, Any], out: Path, shard: str, labels: Mapping[str, float]) -> dict[str, Any]:
    table = read_table(out / "scores" / KEPT / shard)
    score = table["score"][table["id"].to_pylist().index(row["id"])].as_py()
    return {
        "id": row["id"],
        "source": row["source"],
        "meta": orjson.loads(row["meta"]),
        "score": score,
        "label": labels.get(row["id"]),
        "characters": len(row["text"]),
        "text": row["text"][:EXAMPLE_CHARS],
    }
