"""judge: learn from labelled documents what is good, say how far that can be trusted, and score every document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from hornbook.core.context import Tools
from hornbook.core.scores import Scores
from hornbook.core.shards import (
    KEPT,
    Counts,
    add_counts,
    read_json,
    read_table,
    run_shards,
    shards,
    write_json,
    write_shard,
)
from hornbook.stages.filter.choice import SCORE_DECIMALS, random_scores
from hornbook.stages.filter.config import JUDGE, SHIPPED, TRUST, JudgeConfig
from hornbook.stages.filter.feature_sets import DOCUMENT, from_table
from hornbook.stages.filter.learners import Judge
from hornbook.stages.filter.learning import labelled, learn, size_bytes
from hornbook.stages.filter.shipped import load as load_shipped
from hornbook.stages.filter.shipped import sha256 as shipped_sha256
from hornbook.stages.filter.statistics import comment_density
from hornbook.text.topics import origin, topic

CHANCE = 0.5
"""The ROC AUC of scores that say nothing."""


@dataclass(frozen=True)
class Job:
    """One shard to score."""

    shard: Path
    config: JudgeConfig
    out: Path
    features: Path | None
    seed: int


def identity(config: JudgeConfig, _cache: Path) -> Mapping[str, str]:
    """The hash of the packaged classifier, if it scores."""
    return {"classifier": shipped_sha256()} if config.score == SHIPPED else {}


def run(config: JudgeConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """A row for each document, in its own shard and place: id, score, bytes, comment density, topic, licence, origin.

    trust.json says how far the scores are right about packages that were not learnt from; of a plain baseline, which
    learns nothing, and of the shipped classifier, only its name.
    """
    measured = inputs["features"] if config.measures else None
    if config.score == SHIPPED and not (out / TRUST).exists():
        load_shipped().save(out / JUDGE)
        write_json(out / TRUST, {"score": SHIPPED, "features": [DOCUMENT]})
    if not (out / TRUST).exists():
        known = labelled(inputs["labels"], config, measured) if measured else None
        told = learn(config, known, out, tools) if known else {"features": []}
        if known:
            tools.progress.say(f"  {_in_short(told)}")
        write_json(out / TRUST, {"score": config.score, **told})
    paths = shards(inputs["documents"])
    if measured:  # a shard that could not be measured is missing from here on; that step says so
        paths = [path for path in paths if (measured / KEPT / path.name).exists()]
    jobs = {path.name: Job(path, config, out, measured, tools.seed) for path in paths}
    counts = run_shards("score", _score_shard, jobs, out, tools)
    return add_counts([counts, {"labels": read_json(out / TRUST)["labels"]} if config.learns else {}])


def _in_short(told: Mapping[str, Any]) -> str:
    """How far the scores are right, in a line."""
    value, low, high = told["roc_auc"]
    if value is None:
        return "how far the scores are right cannot be told: too few labels"
    line = f"ROC AUC out of fold {value:.2f} [{low:.2f}, {high:.2f}]"
    return line if low > CHANCE else f"{line}: on these labels no better than chance; more labels may tell"


def _score_shard(job: Job) -> Counts:
    table = read_table(job.shard, ["id", "text", "source", "meta"])
    ids, texts, sources = (table[name].to_pylist() for name in ("id", "text", "source"))
    metas = [orjson.loads(meta) for meta in table["meta"].to_pylist()]
    densities = np.array([comment_density(text) for text in texts], np.float64)
    columns = {
        "id": pa.array(ids, pa.string()),
        "score": pa.array(np.round(_scores(job, ids, densities), SCORE_DECIMALS), pa.float64()),
        "bytes": pa.array([size_bytes(text) for text in texts], pa.int64()),
        "comment_density": pa.array(np.round(densities, SCORE_DECIMALS), pa.float64()),
        "topic": pa.array(
            [topic(t, m.get("tags") or ()) for t, m in zip(texts, metas, strict=True)], pa.string()
        ),
        "licence": pa.array([_licence(meta) for meta in metas], pa.string()),
        "origin": pa.array([origin(s, m) for s, m in zip(sources, metas, strict=True)], pa.string()),
    }
    return write_shard(job.out, job.shard.name, pa.table(columns))


def _scores(job: Job, ids: list[str], densities: Scores) -> Scores:
    if not job.features:
        return random_scores(ids, job.seed) if job.config.score == "random" else densities
    table = read_table(job.features / KEPT / job.shard.name)
    return _judge(job.out / JUDGE).scores(from_table(table).matrix) if len(table) else np.zeros(0)


@lru_cache(maxsize=2)
def _judge(path: Path) -> Judge:
    return Judge.load(path)


def _licence(meta: Mapping[str, Any]) -> str:
    value = meta.get("licence") or ""
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
