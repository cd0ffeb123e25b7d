"""decontaminate: documents that share word n-grams with a benchmark problem go, with the words they share.

Protected are prompt and solution of every problem of the registered benchmarks named in the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pyarrow as pa
from pydantic import Field

from hornbook.benchmarks import benchmark_hashes, load
from hornbook.core.config import Config
from hornbook.core.records import SCHEMA, Drop, documents
from hornbook.core.shards import Counts, read_table, run_shards, shards, write_json, write_shard
from hornbook.core.tools import Tools
from hornbook.text.overlap import Overlap, Protected

SHOWN_CHARS = 300


class DecontaminateConfig(Config):
    """What is protected, and how much may be shared."""

    benchmarks: tuple[str, ...] = Field(("humaneval",), strict=False)
    """Names of registered benchmarks."""
    ngram_words: int = Field(13, ge=4, le=100)
    """A shared run of this many words is contamination."""
    min_word_kinds: int = Field(4, ge=1, le=100)
    """Only runs with at least this many different words of two letters or more count: no number tables, no idioms."""


def run(config: DecontaminateConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Drop what shares a protected run of words with a benchmark problem; protected.json says what is protected."""
    protected = _protected(config)
    open_to_copies = sorted(set(protected.names) - protected.covered)
    facts = {"problems": len(protected.names), "runs": len(protected.hashes), "not_protected": open_to_copies}
    write_json(out / "protected.json", facts)
    jobs = {path.name: (config, path, out) for path in shards(inputs["documents"])}
    return run_shards("decontaminate", _decontaminate, jobs, out, tools)


def identity(config: DecontaminateConfig, _cache: Path) -> Mapping[str, str]:
    """The hash of each benchmark's problems."""
    return benchmark_hashes(config.benchmarks)


@cache
def _protected(config: DecontaminateConfig) -> Protected:
    problems = [problem for name in config.benchmarks for problem in load(name)]
    texts = {problem.id: (problem.prompt + problem.solution,) for problem in problems}
    return Protected.of(texts, config.ngram_words, config.min_word_kinds)


def _decontaminate(job: tuple[DecontaminateConfig, Path, Path]) -> Counts:
    config, path, out = job
    texts = read_table(path, ["text"])["text"].to_pylist()
    found = list(_protected(config).overlaps(texts))
    if not any(found):
        return write_shard(out, path.name, path)
    table = read_table(path)
    hits = [(row, overlap) for row, overlap in enumerate(found) if overlap]
    rows = documents(table.select(SCHEMA.names).take(pa.array([row for row, _ in hits], pa.int64())))
    dropped = [
        Drop(document, "benchmark_ngram", _detail(hit)) for document, (_, hit) in zip(rows, hits, strict=True)
    ]
    kept = table.filter(pa.array([overlap is None for overlap in found], pa.bool_()))
    return write_shard(out, path.name, kept, dropped)


def _detail(overlap: Overlap) -> str:
    return f"{overlap.name}: {overlap.grams} shared runs, the longest: {overlap.matched[:SHOWN_CHARS]}"
