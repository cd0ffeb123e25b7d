"""decontaminate: documents that share word n-grams, or a function's shape, with a benchmark problem go.

Protected are prompt and solution of every problem of the registered benchmarks named in the recipe. Each dropped
document names the problem that it is nearest to, and what they share.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pyarrow as pa
from pydantic import Field, field_validator

from hornbook.benchmarks import benchmark_hashes, check_names, load
from hornbook.core.context import Tools
from hornbook.core.records import SCHEMA, Drop, Refusal, documents
from hornbook.core.settings import Config
from hornbook.core.shards import Counts, read_table, run_shards, shards, write_json, write_shard
from hornbook.stages.decontaminate.overlap import Overlap, Protected
from hornbook.stages.decontaminate.trees import ProtectedTrees, function_trees

SHOWN_CHARS = 300


class DecontaminateConfig(Config):
    """What is protected, and how much may be shared."""

    benchmarks: tuple[str, ...] = Field(("humaneval",), strict=False)
    """Registered benchmarks (a name, or NAME:FILE)."""
    ngram_words: int = Field(13, ge=4, le=100)
    """A shared run of this many words is contamination."""
    min_word_kinds: int = Field(4, ge=1, le=100)
    """Only runs with at least this many different words of two letters or more count: no number tables, no idioms."""
    ast_match: float = Field(0.0, ge=0, le=1)
    """Contamination too is a function whose syntax tree matches a problem's at this rate or more, names, comments and
    docstrings ignored (the paper: .95 to .8); 0 compares no trees, for parsing costs fifty times the n-grams."""
    min_ast_nodes: int = Field(20, ge=1)
    """Functions of fewer nodes are alike by nature and are not compared."""

    @field_validator("benchmarks")
    @classmethod
    def _are_registered(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_names(names))


def run(config: DecontaminateConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Drop what shares words, or shape, with a benchmark problem; protected.json says what is protected."""
    protected = _protected(config)
    open_to_copies = sorted(set(protected.names) - protected.covered)
    facts = {"problems": len(protected.names), "runs": len(protected.hashes), "not_protected": open_to_copies}
    if config.ast_match:
        facts["trees"] = len(_protected_trees(config).trees)
    write_json(out / "protected.json", facts)
    jobs = {path.name: (config, path, out) for path in shards(inputs["documents"])}
    return run_shards("decontaminate", _decontaminate, jobs, out, tools)


def identity(config: DecontaminateConfig, _cache: Path) -> Mapping[str, str]:
    """The hash of each benchmark's problems."""
    return benchmark_hashes(config.benchmarks)


def _texts(config: DecontaminateConfig) -> dict[str, tuple[str, ...]]:
    """Problem -> its texts: the same id in two benchmarks is one problem in two versions."""
    texts: dict[str, tuple[str, ...]] = {}
    for problem in (problem for name in config.benchmarks for problem in load(name)):
        texts[problem.id] = (*texts.get(problem.id, ()), problem.prompt + problem.solution)
    return texts


@cache
def _protected(config: DecontaminateConfig) -> Protected:
    return Protected.of(_texts(config), config.ngram_words, config.min_word_kinds)


@cache
def _protected_trees(config: DecontaminateConfig) -> ProtectedTrees:
    texts = {name: "\n\n".join(versions) for name, versions in _texts(config).items()}
    return ProtectedTrees.of(texts, config.min_ast_nodes)


def _decontaminate(job: tuple[DecontaminateConfig, Path, Path]) -> Counts:
    config, path, out = job
    texts = read_table(path, ["text"])["text"].to_pylist()
    why = [_shared_words(overlap) for overlap in _protected(config).overlaps(texts)]
    if config.ast_match:
        why = [found or _shared_shape(config, text) for found, text in zip(why, texts, strict=True)]
    if not any(why):
        return write_shard(out, path.name, path)
    table = read_table(path)
    gone = [(row, found) for row, found in enumerate(why) if found]
    rows = documents(table.select(SCHEMA.names).take(pa.array([row for row, _ in gone], pa.int64())))
    dropped = [Drop(document, *found) for document, (_, found) in zip(rows, gone, strict=True)]
    kept = table.filter(pa.array([found is None for found in why], pa.bool_()))
    return write_shard(out, path.name, kept, dropped)


def _shared_words(overlap: Overlap | None) -> Refusal | None:
    if overlap is None:
        return None
    shown = overlap.matched[:SHOWN_CHARS]
    return "benchmark_ngram", f"{overlap.name}: {overlap.grams} shared runs, the longest: {shown}"


def _shared_shape(config: DecontaminateConfig, text: str) -> Refusal | None:
    """Why a text goes whose function is shaped like a problem's: of all its functions, the one most alike."""
    protected = _protected_trees(config)
    matches = [(protected.nearest(tree, config.ast_match), name) for name, tree in function_trees(text)]
    found = [(match.rate, match.name, name) for match, name in matches if match]
    if not found:
        return None
    rate, problem, name = max(found)
    return "benchmark_ast", f"{problem}: function {name} has its syntax tree, match rate {rate:.3f}"
