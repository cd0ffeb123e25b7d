"""filter: keep the best of the scored documents, and say what that does to the data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.records import Drop, documents
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
from hornbook.stages.filter.choice import (
    Rule,
    Threshold,
    add,
    choose,
    keys,
    random_scores,
    score_of,
    summary,
)
from hornbook.stages.filter.config import LABELLED, QUALITY, THRESHOLD, TRUST, ChoiceConfig
from hornbook.stages.filter.learning import against_baselines

BASELINES = ("random", "comment_density")
MIXES = ("topic", "licence")
EXAMPLES = 5
EXAMPLE_CHARS = 900


@dataclass(frozen=True)
class Job:
    """One shard to split, and the folder of the scores."""

    shard: Path
    config: ChoiceConfig
    judged: Path
    out: Path
    threshold: Threshold


def run(config: ChoiceConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Keep the documents above the threshold, with column `score`; drop the rest as low_score."""
    judged = inputs["judge"]
    columns = _Columns.read(judged, config)
    threshold = choose(columns.keys, columns.sizes, columns.strata, columns.names, config.rule)
    _refuse_nothing(config, columns, threshold)
    jobs = {  # a shard that could not be scored is missing from here on; that step says so
        path.name: Job(inputs["documents"] / KEPT / path.name, config, judged, out, threshold)
        for path in shards(judged)
    }
    counts = run_shards("keep", _split_shard, jobs, out, tools)
    write_json(out / THRESHOLD, {"general": threshold.general, "by_stratum": dict(threshold.by_stratum)})
    write_json(out / QUALITY, _quality(config, judged, columns, threshold, out, tools.seed))
    return counts


def _refuse_nothing(config: ChoiceConfig, columns: _Columns, threshold: Threshold) -> None:
    """A filter that keeps nothing would fail far from here, in whatever reads it."""
    found, best = columns.keys, int(columns.keys.max(initial=0))
    if not len(found):
        raise StageError("filter: there are no documents to choose from; look at what dedup dropped")
    if best >= threshold.general or threshold.by_stratum:
        return
    if config.min_score is not None:
        said = f"no document scores {config.min_score:g}, the highest score is {score_of(best):.3f}: lower min_score"
    else:
        size = int(columns.sizes[found.argmax()])
        said = f"the best document alone has {size:,} bytes, more than keep_tokens allow: raise keep_tokens"
    raise StageError(f"filter: nothing would be kept; {said}")


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
    def read(cls, judged: Path, config: ChoiceConfig) -> _Columns:
        codes: dict[str, int] = {}
        parts: dict[str, list[Any]] = {name: [] for name in ("keys", "sizes", "strata", *BASELINES)}
        counts = np.zeros(20, np.int64)
        for path in shards(judged):
            table = read_table(path)
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


def _baseline_keys(name: str, table: pa.Table, ids: Sequence[str]) -> Any:
    """The order in which a plain baseline would keep documents; its seed is its own, so that it is no arm's."""
    scores = random_scores(ids, -1) if name == "random" else table["comment_density"].to_numpy()
    return keys(scores, ids)


def _split_shard(job: Job) -> Counts:
    table, scored = read_table(job.shard), read_table(job.judged / KEPT / job.shard.name)
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
    config: ChoiceConfig, judged: Path, columns: _Columns, threshold: Threshold, out: Path, seed: int
) -> dict[str, Any]:
    """What the report tells: labels, trust, scores, what the choice does, and examples drawn by hash."""
    trust = read_json(judged / TRUST)
    learnt = "learners" in trust
    known = read_table(judged / LABELLED, ["id", "label"]) if learnt else None
    labels = dict(zip(*(known[name].to_pylist() for name in ("id", "label")), strict=True)) if known else {}
    effects = _effects(columns, threshold, judged, config)
    told = config.model_dump(include={"keep_share", "min_score", "keep_tokens", "bytes_per_token"})
    share = effects["kept"]["bytes"] / max(effects["all"]["bytes"], 1)
    return {
        **trust,
        "rule": {name: value for name, value in told.items() if value is not None},
        "threshold": threshold.score,
        "stratum_share": config.stratum_share,
        "strata": config.strata,
        "score_histogram": {
            "edges": [round(n / 20, 2) for n in range(21)],
            "counts": columns.score_counts.tolist(),
        },
        "effects": effects,
        "examples": {part: _examples((out, judged), part, labels, seed) for part in (KEPT, DROPPED)},
        **({"against": against_baselines(judged, share, seed)} if learnt else {}),
    }


def _effects(columns: _Columns, threshold: Threshold, judged: Path, config: ChoiceConfig) -> dict[str, Any]:
    """What all, the kept, and plain baselines of the same bytes hold: lengths, comments, topics, licences."""
    keep = {path: _kept(path, config, threshold) for path in shards(judged)}
    size = float(sum(int(read_table(path)["bytes"].to_numpy()[mask].sum()) for path, mask in keep.items()))
    found: dict[str, dict[str, Any]] = {"all": {}, "kept": {}, **{name: {} for name in BASELINES}}
    same = {
        name: choose(order, columns.sizes, columns.strata, columns.names, Rule(size_bytes=size))
        for name, order in columns.baselines.items()
    }
    for path, kept in keep.items():
        table = read_table(path)
        ids, sizes = table["id"].to_pylist(), table["bytes"].to_numpy()
        mixes = {mix: table[mix].to_pylist() for mix in MIXES}
        masks = {"all": np.ones(len(ids), np.bool_), "kept": kept}
        masks |= {
            way: same[way].keeps(_baseline_keys(way, table, ids), table[config.strata].to_pylist())
            for way in BASELINES
        }
        densities = table["comment_density"].to_numpy()
        for way, mask in masks.items():
            found[way] = add(found[way], summary(sizes, densities, mixes, mask))
    empty = summary(np.zeros(0, np.int64), np.zeros(0), {mix: [] for mix in MIXES}, np.zeros(0, np.bool_))
    return {way: add(empty, held) for way, held in found.items()}


def _kept(path: Path, config: ChoiceConfig, threshold: Threshold) -> Any:
    table = read_table(path)
    found = keys(table["score"].to_numpy(), table["id"].to_pylist())
    return threshold.keeps(found, table[config.strata].to_pylist())


def _examples(
    folders: tuple[Path, Path], part: str, labels: Mapping[str, float], seed: int
) -> list[dict[str, Any]]:
    """EXAMPLES documents of one side, chosen by a seeded hash of their ids and so by nobody's taste."""
    (out, judged), best = folders, list[tuple[bytes, Path, int]]()
    for path in shards(out, part):
        ids = read_table(path, ["id"])["id"].to_pylist()
        best += [
            (hashlib.blake2b(f"{seed}:{id_}".encode()).digest(), path, row) for row, id_ in enumerate(ids)
        ]
        best = sorted(best)[:EXAMPLES]
    return [
        _example(read_table(path).slice(row, 1).to_pylist()[0], judged / KEPT / path.name, labels)
        for _, path, row in best
    ]


def _example(row: Mapping[str, Any], scored: Path, labels: Mapping[str, float]) -> dict[str, Any]:
    table = read_table(scored, ["id", "score"])
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
