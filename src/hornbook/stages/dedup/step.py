"""dedup: exact copies, then near copies; one of each cluster is kept, and every other says which.

Exact: the same text once runs of blanks count as one space. Near: real Jaccard of the sets of word shingles at or
above the threshold, among pairs that MinHash bands bring together, so every pair dropped on is a true one. Each
step works on a shard or on a part of the keys and leaves files under `work/`; no process holds the whole corpus.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hornbook.core.context import Tools
from hornbook.core.records import SCHEMA, Drop, documents
from hornbook.core.shards import Counts, read_table, run_shards, write_json, write_shard
from hornbook.stages.dedup import clusters as by_cluster
from hornbook.stages.dedup import functions, pairs, sketch
from hornbook.stages.dedup.components import components
from hornbook.stages.dedup.config import KEEP, Rule
from hornbook.stages.dedup.partitions import Shuffle
from hornbook.stages.dedup.sketch import Corpus
from hornbook.text.minhash import chance_to_meet

WORK = "work"
CLUSTERS_SCHEMA = pa.schema(
    [
        ("kept_id", pa.string()),
        ("kept_source", pa.string()),
        ("id", pa.string()),
        ("source", pa.string()),
        ("reason", pa.string()),
        ("similarity", pa.float64()),
        ("kept_because", pa.string()),
    ]
)


class DedupConfig(Rule):
    """When two documents are copies, and which one stays."""


def run(config: DedupConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Drop exact and near copies; clusters.parquet lists who went with whom, dedup.json how they were found."""
    corpus = Corpus.of(inputs["documents"], out / WORK)
    corpus.work.mkdir(exist_ok=True)
    _forget_shuffles(corpus)
    with tools.progress.bar(
        "dedup: compare", total=7 + 6 * config.near + 3 * bool(config.copied_functions), unit="steps"
    ) as bar:

        def each(work: Callable[[Any], Any], count: int, more: Sequence[Any] = ()) -> list[Any]:
            """Do a step for every shard or part, on the workers."""
            steps = (pairs.Step(config, corpus, number) for number in range(count))
            jobs = (by_cluster.Labelled(step, *more) for step in steps) if more else steps
            found = [result for result in tools.workers.map(work, jobs) if result is not None]
            bar.advance()
            return found

        candidates, true = _compare(config, corpus, each)
        if config.near:
            labels = components(corpus.shuffle(pairs.EDGES), true, corpus.work / "components", tools.workers)
            _choose(corpus, each, labels)
        _decide(config, corpus, each)
    facts = {**_facts(config, candidates, true), **_write_clusters(config, corpus, out / "clusters.parquet")}
    write_json(out / "dedup.json", facts)
    jobs = {path.name: (config.keep, corpus, shard, out) for shard, path in enumerate(corpus.shards)}
    counts = run_shards("dedup", _write, jobs, out, tools)
    shutil.rmtree(corpus.work)
    return {**counts, "candidate_pairs": candidates, "clusters": facts["clusters"]}


Each = Callable[..., list[Any]]


def _forget_shuffles(corpus: Corpus) -> None:
    """What a killed run regrouped is done again; its sketches are kept."""
    for folder in corpus.work.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)


def _compare(config: DedupConfig, corpus: Corpus, each: Each) -> tuple[int, int]:
    """From texts to edges between documents that are alike; how many pairs were compared, and how many are true."""
    each(_sketch_once, len(corpus.shards))
    each(pairs.scatter_exact, corpus.parts)
    each(pairs.find_exact, corpus.parts)
    if not config.near:
        return 0, 0
    each(pairs.scatter_bands, corpus.parts)
    each(pairs.meet, corpus.parts)
    found = each(pairs.verify, corpus.parts)
    return sum(all_ for all_, _ in found), sum(true for _, true in found)


def _choose(corpus: Corpus, each: Each, labels: Shuffle) -> None:
    """From components to the one document of each that stays."""
    each(by_cluster.split_labels, labels.parts, [labels])
    each(by_cluster.add_facts, corpus.parts)
    each(by_cluster.choose, corpus.parts)


def _decide(config: DedupConfig, corpus: Corpus, each: Each) -> None:
    """From what goes to a named decision for each document."""
    each(by_cluster.exact_by_kept, corpus.parts)
    each(by_cluster.decide, corpus.parts)
    if config.copied_functions:
        each(functions.scatter_functions, corpus.parts)
        each(functions.find_functions, corpus.parts)
        each(functions.judge_functions, corpus.parts)
    each(by_cluster.name_kept, corpus.parts)
    each(by_cluster.name_gone, corpus.parts)


def _sketch_once(step: pairs.Step) -> None:
    """A sketch that a killed run finished is used again, unless the machine died before it was on the disk."""
    try:
        step.corpus.sketch(step.number)
    except (FileNotFoundError, pa.ArrowInvalid):
        sketch.sketch(step)


def _facts(config: DedupConfig, candidates: int, true: int) -> dict[str, Any]:
    bands, rows = config.bands
    return {
        "jaccard": config.jaccard,
        "bands": bands,
        "rows": rows,
        "chance_to_compare_at_threshold": chance_to_meet(config.jaccard, bands, rows),
        "candidate_pairs": candidates,
        "true_pairs": true,
        "keep": config.keep,
        "kept_is": KEEP[config.keep].words,
    }


def _write_clusters(config: DedupConfig, corpus: Corpus, path: Path) -> dict[str, int]:
    """Write the clusters a part at a time; how many there are, and how large the largest is, the kept one included."""
    count = largest = 0
    partial = path.with_name(f".{path.name}.partial")
    with pq.ParquetWriter(partial, CLUSTERS_SCHEMA, compression="zstd") as writer:
        for table in by_cluster.clusters(config.keep, corpus):
            sizes = np.unique(table["kept"].to_numpy(), return_counts=True)[1]
            count, largest = count + len(sizes), max(largest, int(sizes.max()) + 1)
            writer.write_table(table.select(CLUSTERS_SCHEMA.names).cast(CLUSTERS_SCHEMA))
    partial.rename(path)
    return {"clusters": count, "largest_cluster": largest}


def _write(job: tuple[str, Corpus, int, Path]) -> Counts:
    keep, corpus, shard, out = job
    path, gone = corpus.shards[shard], by_cluster.gone_from(keep, corpus, shard)
    if not gone:
        return write_shard(out, path.name, path)
    table = read_table(path)
    rows = documents(table.select(SCHEMA.names).take(pa.array(sorted(gone), pa.int64())))
    dropped = [Drop(document, *gone[row]) for document, row in zip(rows, sorted(gone), strict=True)]
    return write_shard(out, path.name, _without(table, sorted(gone)), dropped)


def _without(table: pa.Table, rows: list[int]) -> pa.Table:
    """The table less some rows, which are few: pieces of it, not a copy."""
    begins, ends = [0, *(row + 1 for row in rows)], [*rows, len(table)]
    return pa.concat_tables(
        [table.slice(begin, end - begin) for begin, end in zip(begins, ends, strict=True)]
    )
