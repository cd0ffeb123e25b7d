"""filter: learn from labelled documents what is worth keeping, score every document, keep the best."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from hornbook.core.records import Drop, documents
from hornbook.core.shards import (
    DROPPED,
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
from hornbook.core.tools import Tools
from hornbook.filtering.learning import JUDGE, TRUST, Labelled, against_baselines, labelled, learn
from hornbook.filtering.settings import FilterConfig
from hornbook.filtering.table import from_table
from hornbook.quality.choice import (
    Rule,
    Threshold,
    add,
    choose,
    keys,
    random_scores,
    summary,
)
from hornbook.quality.forest import Judge
from hornbook.text.statistics import comment_density
from hornbook.text.topics import origin, topic

SCORES = "scores"
QUALITY = "quality.json"
THRESHOLD = "threshold.json"
BASELINES = ("random", "comment_density")
MIXES = ("topic", "licence")
EXAMPLES = 5
EXAMPLE_CHARS = 900


@dataclass(frozen=True)
class Job:
    """One shard to score or to split."""

    shard: Path
    config: FilterConfig
    out: Path
    features: Path | None
    seed: int
    threshold: Threshold = Threshold(0)  # noqa: RUF009  (frozen)


def run(config: FilterConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Keep the documents above the threshold, with column `score`; drop the rest as low_score.

    scores/ holds a row a document: score, bytes, comment density, topic, licence and origin.
    """
    measured = inputs["features"] if config.learns else None
    known = labelled(inputs["labels"], config, measured) if measured else None
    if known and not (out / TRUST).exists():
        learn(config, known, out, tools)
    paths = shards(inputs["documents"])
    if measured:  # a shard that could not be measured is missing from here on; that step says so
        paths = [path for path in paths if (measured / KEPT / path.name).exists()]
    jobs = {path.name: Job(path, config, out, measured, tools.seed) for path in paths}
    failed = run_shards("score", _score_shard, jobs, out / SCORES, tools).get("shards_failed", 0)
    jobs = {name: job for name, job in jobs.items() if (out / SCORES / KEPT / name).exists()}
    columns = _Columns.read(out, config, list(jobs))
    threshold = choose(columns.keys, columns.sizes, columns.strata, columns.names, config.rule)
    splitting = {name: replace(job, threshold=threshold) for name, job in jobs.items()}
    counts = run_shards("keep", _split_shard, splitting, out, tools)
    write_json(out / THRESHOLD, {"general": threshold.general, "by_stratum": dict(threshold.by_stratum)})
    write_json(out / QUALITY, _quality(config, known, columns, threshold, out, tools.seed))
    labels = {"labels": len(known.documents)} if known else {}
    return add_counts([counts, labels, {"shards_failed": failed} if failed else {}])


def _score_shard(job: Job) -> Counts:
    table = read_table(job.shard, ["id", "text", "source", "meta"])
    ids, texts, sources = (table[name].to_pylist() for name in ("id", "text", "source"))
    metas = [orjson.loads(meta) for meta in table["meta"].to_pylist()]
    densities = [comment_density(text) for text in texts]
    if job.features:
        scores = _judged(job.features / KEPT / job.shard.name, job.out / JUDGE)
    else:
        scores = random_scores(ids, job.seed) if job.config.score == "random" else densities
    columns = {
        "id": pa.array(ids, pa.string()),
        "score": pa.array(np.round(np.asarray(scores, np.float64), 6), pa.float64()),
        "bytes": pa.array([len(text.encode("utf-8", "surrogatepass")) for text in texts], pa.int64()),
        "comment_density": pa.array(np.round(densities, 6) if densities else [], pa.float64()),
        "topic": pa.array(
            [topic(t, m.get("tags") or ()) for t, m in zip(texts, metas, strict=True)], pa.string()
        ),
        "licence": pa.array([_licence(meta) for meta in metas], pa.string()),
        "origin": pa.array([origin(s, m) for s, m in zip(sources, metas, strict=True)], pa.string()),
    }
    return write_shard(job.out / SCORES, job.shard.name, pa.table(columns))


def _judged(features: Path, judge: Path) -> Any:
    table = read_table(features)
    return _judge(judge).scores(from_table(table).matrix) if len(table) else np.zeros(0)


@lru_cache(maxsize=2)
def _judge(path: Path) -> Judge:
    return Judge.load(path)


def _licence(meta: Mapping[str, Any]) -> str:
    value = meta.get("licence") or ""
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


@dataclass(frozen=True)
class _Columns:
    """What the choice needs of every document: keys, bytes, and strata as indices into names."""

    keys: Any
    sizes: Any
    strata: Any
    names: list[str]
    baselines: Mapping[str, Any]
    score_counts: Any
    """Documents in each twentieth of the scores."""

    @classmethod
    def read(cls, out: Path, config: FilterConfig, shard_names: Sequence[str]) -> _Columns:
        codes: dict[str, int] = {}
        parts: dict[str, list[Any]] = {name: [] for name in ("keys", "sizes", "strata", *BASELINES)}
        counts = np.zeros(20, np.int64)
        for shard in shard_names:
            table = _scores(out, shard)
            ids, scores = table["id"].to_pylist(), table["score"].to_numpy()
            strata = [codes.setdefault(name, len(codes)) for name in table[config.strata].to_pylist()]
            parts["keys"].append(keys(scores, ids))
            parts["sizes"].append(table["bytes"].to_numpy())
            parts["strata"].append(np.array(strata, np.int32))
            for name in BASELINES:
                parts[name].append(_baseline_keys(name, table, ids))
            counts += np.histogram(scores, bins=20, range=(0.0, 1.0))[0]
        kinds = {"sizes": np.int64, "strata": np.int32}
        whole = {
            name: np.concatenate([np.zeros(0, kinds.get(name, np.uint64)), *found])
            for name, found in parts.items()
        }
        baselines = {name: whole[name] for name in BASELINES}
        return cls(whole["keys"], whole["sizes"], whole["strata"], list(codes), baselines, counts)


def _scores(out: Path, shard: str) -> pa.Table:
    return read_table(out / SCORES / KEPT / shard)


def _baseline_keys(name: str, table: pa.Table, ids: Sequence[str]) -> Any:
    """The order in which a plain baseline would keep documents; its seed is its own, so that it is no arm's."""
    scores = random_scores(ids, -1) if name == "random" else table["comment_density"].to_numpy()
    return keys(scores, ids)


def _split_shard(job: Job) -> Counts:
    table, scored = read_table(job.shard), _scores(job.out, job.shard.name)
    scores, strata = scored["score"].to_numpy(), scored[job.config.strata].to_pylist()
    keep = job.threshold.keeps(keys(scores, scored["id"].to_pylist()), strata)
    kept = table.append_column("score", pa.array(scores, pa.float64())).filter(pa.array(keep))
    gone = documents(table.filter(pa.array(~keep)))
    dropped = [
        Drop(document, "low_score", _why(score, job.threshold))
        for document, score in zip(gone, scores[~keep], strict=True)
    ]
    characters = sum(map(len, kept["text"].to_pylist()))
    return write_shard(job.out, job.shard.name, kept, dropped, {"characters.kept": characters})


def _why(score: float, threshold: Threshold) -> str:
    if score >= threshold.score:
        return f"score {score:.4f} is the threshold, which others share: a hash of the id decided"
    return f"score {score:.4f} is below {threshold.score:.4f}"


def _quality(
    config: FilterConfig,
    known: Labelled | None,
    columns: _Columns,
    threshold: Threshold,
    out: Path,
    seed: int,
) -> dict[str, Any]:
    """What the report tells: labels, trust, scores, what the choice does, and examples drawn by hash."""
    labels = dict(zip([d.id for d in known.documents], known.labels.tolist(), strict=True)) if known else {}
    effects = _effects(columns, threshold, out, config)
    facts: dict[str, Any] = {
        "score": config.score,
        "features": config.features if config.learns else [],
        "threshold": threshold.score,
        "stratum_share": config.stratum_share,
        "strata": config.strata,
        "score_histogram": {
            "edges": [round(n / 20, 2) for n in range(21)],
            "counts": columns.score_counts.tolist(),
        },
        "effects": effects,
        "examples": {part: _examples(out, part, labels, seed) for part in (KEPT, DROPPED)},
    }
    if known:
        trusted = read_json(out / TRUST)
        share = effects["kept"]["bytes"] / max(effects["all"]["bytes"], 1)
        facts |= {
            **trusted,
            "labels": len(labels),
            "good": int(known.good.sum()),
            "good_label": known.good_label,
            "label_histogram": _histogram(known.labels),
            "against": against_baselines(known, dict(trusted["out_of_fold"]), share, seed),
        }
    return facts


def _effects(columns: _Columns, threshold: Threshold, out: Path, config: FilterConfig) -> dict[str, Any]:
    """What all, the kept, and plain baselines of the same bytes hold: lengths, comments, topics, licences."""
    names = [path.name for path in shards(out / SCORES)]
    keep = {name: _kept(out, name, config, threshold) for name in names}
    size = float(sum(int(_scores(out, name)["bytes"].to_numpy()[keep[name]].sum()) for name in names))
    found: dict[str, dict[str, Any]] = {"all": {}, "kept": {}, **{name: {} for name in BASELINES}}
    same = {
        name: choose(order, columns.sizes, columns.strata, columns.names, Rule(size_bytes=size))
        for name, order in columns.baselines.items()
    }
    for name in names:
        table = _scores(out, name)
        ids, sizes = table["id"].to_pylist(), table["bytes"].to_numpy()
        mixes = {mix: table[mix].to_pylist() for mix in MIXES}
        masks = {"all": np.ones(len(ids), np.bool_), "kept": keep[name]}
        masks |= {
            way: same[way].keeps(_baseline_keys(way, table, ids), table[config.strata].to_pylist())
            for way in BASELINES
        }
        densities = table["comment_density"].to_numpy()
        for way, mask in masks.items():
            found[way] = add(found[way], summary(sizes, densities, mixes, mask))
    empty = summary(np.zeros(0, np.int64), np.zeros(0), {mix: [] for mix in MIXES}, np.zeros(0, np.bool_))
    return {way: add(empty, held) for way, held in found.items()}


def _kept(out: Path, shard: str, config: FilterConfig, threshold: Threshold) -> Any:
    table = _scores(out, shard)
    found = keys(table["score"].to_numpy(), table["id"].to_pylist())
    return threshold.keeps(found, table[config.strata].to_pylist())


def _histogram(values: Any) -> dict[str, list[float]]:
    counts, edges = np.histogram(values, bins=20)
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
    table = _scores(out, shard)
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
