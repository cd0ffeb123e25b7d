"""source: what one source gave the corpus, as a dataset of its own, so that sources can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.settings import Config
from hornbook.core.shards import Counts, read_table, run_shards, shards, write_shard

SHOWN = 10


class SourceConfig(Config):
    """Whose documents are taken."""

    name: str = Field(min_length=1)
    """What `read` called the source, and so what the documents' own source begins with."""


def run(config: SourceConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """The documents of a source that deduplication left; StageError names the sources where there is none."""
    jobs = {path.name: (config.name, path, out) for path in shards(inputs["documents"])}
    counts = run_shards("take", _take, jobs, out, tools)
    if not counts.get("kept"):
        there = {s for path in shards(inputs["documents"]) for s in _names(path).unique().to_pylist()}
        names = ", ".join(sorted(there)[:SHOWN]) + (", ..." if len(there) > SHOWN else "")
        raise StageError(
            f"source/{config.name}: no document of that source is left; sources: {names or 'none'}"
        )
    return counts


def _take(job: tuple[str, Path, Path]) -> Counts:
    name, path, out = job
    table = read_table(path)
    return write_shard(out, path.name, table.filter(pc.equal(_names(path), name)))


def _names(path: Path) -> pa.ChunkedArray:
    """The first part of each document's source: a file of a folder, or a line or row of a file."""
    return pc.replace_substring_regex(read_table(path, ["source"])["source"], "[/:].*$", "")
