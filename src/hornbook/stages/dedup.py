"""dedup: exact copies, then near copies; one of each cluster is kept, and every other says which.

Exact: the same text once runs of whitespace count as one space. Near: real Jaccard of the sets of word shingles at
or above the threshold, among pairs that MinHash bands bring together, so every pair dropped on is a true one. What
is held in memory is a few numbers a document; shingles wait in files under `work/` and are mapped, not read.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray
from pydantic import Field

from hornbook.core.config import Config
from hornbook.core.records import SCHEMA, Document, Drop, documents
from hornbook.core.shards import (
    Counts,
    read_table,
    run_shards,
    shards,
    write_bytes,
    write_json,
    write_shard,
    write_table,
)
from hornbook.core.tools import Tools
from hornbook.text.minhash import (
    band_keys,
    chance_to_meet,
    choose_bands,
    clusters,
    jaccard,
    members,
    pairs_that_meet,
    signatures,
)
from hornbook.text.ngrams import batches, grams, words

WORK = "work"
_PAIRS_A_JOB = 20_000


class DedupConfig(Config):
    """When two documents are copies, and which one stays."""

    jaccard: float = Field(0.75, gt=0, le=1)
    """Documents whose sets of shingles are at least this similar are near copies."""
    shingle_words: int = Field(5, ge=1, le=64)
    """Words in a shingle."""
    hashes: int = Field(128, ge=16, le=1024)
    """Length of a MinHash signature."""
    recall: float = Field(0.99, gt=0, lt=1)
    """Bands are cut so that a pair exactly at the threshold is compared with at least this chance."""
    keep: Literal["first", "longest", "licensed-longest"] = "licensed-longest"
    """Which member of a cluster stays: the first read; the longest; the longest of those with a licence."""


@dataclass(frozen=True, slots=True)
class _Sketch:
    """What is known of all documents, in reading order, one row each."""

    shards: tuple[Path, ...]
    shard: NDArray[np.int64]
    row: NDArray[np.int64]
    exact: NDArray[np.uint64]
    chars: NDArray[np.int64]
    licensed: NDArray[np.bool_]
    shingles: NDArray[np.int64]


class _Decision(NamedTuple):
    """Why one row of a shard goes."""

    reason: str
    similarity: float
    kept: int


KEEP: dict[str, Callable[[_Sketch, int], tuple[Any, ...]]] = {
    "first": lambda sketch, document: (document,),
    "longest": lambda sketch, document: (-sketch.chars[document], document),
    "licensed-longest": lambda sketch, document: (
        not sketch.licensed[document],
        -sketch.chars[document],
        document,
    ),
}
"""Rule -> sort key; the member of a cluster that sorts first is kept."""


def run(config: DedupConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Drop exact and near copies; clusters.parquet lists who went with whom, dedup.json how they were found."""
    paths = shards(inputs["documents"])
    work = out / WORK
    todo = [(config, path, work) for path in paths if not (work / f"{path.stem}.npz").exists()]
    with tools.progress.bar("dedup: sketch", total=len(todo), unit="shards") as bar:
        for _ in tools.workers.map(_sketch_shard, todo):
            bar.advance()
    sketch = _gather(paths, work)
    exact = _exact_copies(config, sketch)
    unique = np.setdiff1d(np.arange(len(sketch.exact)), np.fromiter(exact, np.int64, len(exact)))
    candidates = _candidates(config, sketch, unique, work)
    similar = _similarities(config, sketch, candidates, work, tools)
    near = _near_copies(config, sketch, candidates[similar >= config.jaccard], work, tools)
    decisions = _resolve({**exact, **near})
    facts = _facts(config, candidates, similar, decisions)
    _write_clusters(sketch, decisions, out)
    write_json(out / "dedup.json", facts)
    counts = run_shards("dedup", _write, _jobs(sketch, decisions, out), out, tools)
    shutil.rmtree(work)
    return {**counts, "candidate_pairs": len(candidates), "clusters": facts["clusters"]}


def _sketch_shard(job: tuple[DedupConfig, Path, Path]) -> None:
    """Write a shard's sketch: sets of shingles (.npy), band keys (.keys.npy) and, last, hashes and sizes (.npz)."""
    config, path, work = job
    table = read_table(path, ["text", "meta"])
    texts = table["text"].to_pylist()
    bands, rows = choose_bands(config.hashes, config.jaccard, config.recall)
    keys = [np.zeros((0, bands), np.uint64)]
    sets = [np.zeros(0, np.uint32)]
    for batch in batches(texts):
        shingles, _, offsets = grams(words(batch), config.shingle_words)
        keys.append(band_keys(signatures(shingles, offsets, config.hashes), bands, rows))
        parts = np.split(shingles.astype(np.uint32), offsets[1:-1])
        sets.extend(np.unique(part) for part in parts)
    exact = [
        xxhash.xxh3_64_intdigest(" ".join(text.split()).encode("utf-8", "surrogatepass")) for text in texts
    ]
    facts: dict[str, Any] = {
        "exact": np.array(exact, np.uint64),
        "chars": np.array([len(text) for text in texts], np.int64),
        "licensed": np.array(
            ['"licence":"' in m and '"licence":""' not in m for m in table["meta"].to_pylist()], bool
        ),
        "shingles": np.array([len(part) for part in sets[1:]], np.int64),
    }
    _save(work / f"{path.stem}.npy", lambda file: np.save(file, np.concatenate(sets)))
    _save(work / f"{path.stem}.keys.npy", lambda file: np.save(file, np.concatenate(keys)))
    _save(work / f"{path.stem}.npz", lambda file: np.savez(file, **facts))


def _save(path: Path, write: Callable[[io.BytesIO], None]) -> None:
    buffer = io.BytesIO()
    write(buffer)
    write_bytes(path, buffer.getvalue())


def _gather(paths: Sequence[Path], work: Path) -> _Sketch:
    names = ("exact", "chars", "licensed", "shingles")
    parts: dict[str, list[Any]] = {name: [np.zeros(0, np.int64)] for name in names}
    for path in paths:
        with np.load(work / f"{path.stem}.npz") as facts:
            for name, part in parts.items():
                part.append(facts[name])
    sizes = [len(part) for part in parts["exact"][1:]]
    whole: dict[str, Any] = {name: np.concatenate(part[1:] or part) for name, part in parts.items()}
    row = np.concatenate([np.arange(size) for size in (*sizes, 0)])
    return _Sketch(tuple(paths), shard=np.repeat(np.arange(len(paths)), sizes), row=row, **whole)


def _exact_copies(config: DedupConfig, sketch: _Sketch) -> dict[int, _Decision]:
    _, labels = np.unique(sketch.exact, return_inverse=True)
    decisions = {}
    for group in members(labels):
        kept = _keeper(config, sketch, group)
        decisions.update({int(d): _Decision("exact_copy", 1.0, kept) for d in group if d != kept})
    return decisions


def _keeper(config: DedupConfig, sketch: _Sketch, group: NDArray[np.int64]) -> int:
    return int(min(group, key=lambda document: KEEP[config.keep](sketch, document)))


def _candidates(
    config: DedupConfig, sketch: _Sketch, unique: NDArray[np.int64], work: Path
) -> NDArray[np.int64]:
    """Pairs of different documents that share a band and whose set sizes allow the threshold; a band at a time."""
    alive = unique[sketch.shingles[unique] > 0]
    bands, _ = choose_bands(config.hashes, config.jaccard, config.recall)
    files = [np.load(work / f"{path.stem}.keys.npy", mmap_mode="r") for path in sketch.shards]
    found = [np.zeros((0, 2), np.int64)]
    for band in range(bands if files else 0):
        keys = np.concatenate([keys[:, band] for keys in files])
        pairs = alive[pairs_that_meet(keys[alive])]
        sizes = sketch.shingles[pairs]
        found.append(pairs[sizes.min(axis=1) >= config.jaccard * sizes.max(axis=1)])
    return np.unique(np.concatenate(found), axis=0)


def _similarities(
    config: DedupConfig, sketch: _Sketch, pairs: NDArray[np.int64], work: Path, tools: Tools
) -> NDArray[np.float64]:
    """The real Jaccard of each pair, computed on the workers."""
    begins = _set_begins(sketch)
    spans = np.stack([begins, begins + sketch.shingles], axis=1)
    files = [work / f"{path.stem}.npy" for path in sketch.shards]
    jobs = []
    for begin in range(0, len(pairs), _PAIRS_A_JOB):
        part = pairs[begin : begin + _PAIRS_A_JOB]
        jobs.append((files, sketch.shard[part], spans[part]))
    found = [np.zeros(0)]
    with tools.progress.bar("dedup: compare", total=len(pairs), unit="pairs") as bar:
        for values in tools.workers.map(_compare, jobs):
            found.append(values)
            bar.advance(len(values))
    return np.concatenate(found)


def _set_begins(sketch: _Sketch) -> NDArray[np.int64]:
    """Where each document's set begins in the file of its shard."""
    ends = np.cumsum(sketch.shingles)
    begins = ends - sketch.shingles
    firsts = np.searchsorted(sketch.shard, np.arange(len(sketch.shards)))
    inside = firsts < len(begins)
    shard_begins = (
        np.where(inside, begins[np.minimum(firsts, max(len(begins) - 1, 0))], 0) if len(begins) else firsts
    )
    return begins - shard_begins[sketch.shard]


def _compare(job: tuple[list[Path], NDArray[np.int64], NDArray[np.int64]]) -> NDArray[np.float64]:
    files, shard_numbers, spans = job
    maps = {int(number): np.load(files[number], mmap_mode="r") for number in np.unique(shard_numbers)}
    values = np.zeros(len(spans))
    for place, ((one, other), (first, second)) in enumerate(zip(shard_numbers, spans, strict=True)):
        values[place] = jaccard(maps[int(one)][slice(*first)], maps[int(other)][slice(*second)])
    return values


def _near_copies(
    config: DedupConfig, sketch: _Sketch, pairs: NDArray[np.int64], work: Path, tools: Tools
) -> dict[int, _Decision]:
    """Clusters are whatever true pairs connect; each member is compared with the one kept."""
    labels = clusters(len(sketch.exact), ((int(one), int(other)) for one, other in pairs))
    kept = {}
    for group in members(labels):
        keeper = _keeper(config, sketch, group)
        kept.update({int(document): keeper for document in group if document != keeper})
    with_kept = np.array(list(kept.items()), np.int64).reshape(-1, 2)
    similar = _similarities(config, sketch, with_kept, work, tools)
    return {d: _Decision("near_copy", float(s), k) for (d, k), s in zip(kept.items(), similar, strict=True)}


def _resolve(decisions: dict[int, _Decision]) -> dict[int, _Decision]:
    """An exact copy of a near copy points at the document that is kept in the end."""
    resolved = {}
    for document, decision in decisions.items():
        onward = decisions.get(decision.kept)
        resolved[document] = (
            _Decision(decision.reason, onward.similarity, onward.kept) if onward else decision
        )
    return resolved


def _facts(
    config: DedupConfig,
    pairs: NDArray[np.int64],
    similar: NDArray[np.float64],
    decisions: dict[int, _Decision],
) -> dict[str, Any]:
    bands, rows = choose_bands(config.hashes, config.jaccard, config.recall)
    sizes = np.unique([decision.kept for decision in decisions.values()], return_counts=True)[1] + 1
    return {
        "jaccard": config.jaccard,
        "bands": bands,
        "rows": rows,
        "chance_to_compare_at_threshold": chance_to_meet(config.jaccard, bands, rows),
        "candidate_pairs": len(pairs),
        "true_pairs": int(np.count_nonzero(similar >= config.jaccard)),
        "clusters": len(sizes),
        "largest_cluster": int(sizes.max(initial=0)),
        "keep": config.keep,
    }


def _names(sketch: _Sketch, wanted: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Document number -> (id, source), reading those two columns of the shards that are needed."""
    found: dict[int, tuple[str, str]] = {}
    numbers = np.array(wanted, np.int64)
    for shard in np.unique(sketch.shard[numbers]):
        table = read_table(sketch.shards[shard], ["id", "source"])
        here = numbers[sketch.shard[numbers] == shard]
        rows = table.take(sketch.row[here]).to_pylist()
        found.update({int(n): (row["id"], row["source"]) for n, row in zip(here, rows, strict=True)})
    return found


def _write_clusters(sketch: _Sketch, decisions: Mapping[int, _Decision], out: Path) -> None:
    rows = sorted((decision.kept, document, decision) for document, decision in decisions.items())
    names = _names(sketch, sorted({number for kept, document, _ in rows for number in (kept, document)}))
    table = {
        "kept_id": [names[kept][0] for kept, _, _ in rows],
        "kept_source": [names[kept][1] for kept, _, _ in rows],
        "id": [names[document][0] for _, document, _ in rows],
        "source": [names[document][1] for _, document, _ in rows],
        "reason": [decision.reason for *_, decision in rows],
        "similarity": pa.array([decision.similarity for *_, decision in rows], pa.float64()),
    }
    write_table(out / "clusters.parquet", pa.table(table))


_Job = tuple[Path, Path, dict[int, tuple[str, str]]]


def _jobs(sketch: _Sketch, decisions: Mapping[int, _Decision], out: Path) -> dict[str, _Job]:
    """For each shard the rows that go, each with its reason and detail."""
    names = _names(sketch, sorted({decision.kept for decision in decisions.values()}))
    jobs: dict[str, _Job] = {p.name: (p, out, {}) for p in sketch.shards}
    for document, decision in decisions.items():
        id_, source = names[decision.kept]
        detail = f"copy of {source} (id {id_}), similarity {decision.similarity:.3f}"
        path = sketch.shards[sketch.shard[document]]
        jobs[path.name][2][int(sketch.row[document])] = (decision.reason, detail)
    return jobs


def _write(job: _Job) -> Counts:
    path, out, gone = job
    table = read_table(path)
    dropped = list(
        _drops(documents(table.select(SCHEMA.names).take(pa.array(sorted(gone), pa.int64()))), gone)
    )
    kept = table.filter(pa.array([row not in gone for row in range(len(table))], pa.bool_()))
    return write_shard(out, path.name, kept, dropped)


def _drops(rows: Sequence[Document], gone: Mapping[int, tuple[str, str]]) -> Iterator[Drop]:
    for document, row in zip(rows, sorted(gone), strict=True):
        yield Drop(document, *gone[row])
