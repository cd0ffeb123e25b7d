"""A dataset is a folder of Parquet shards: written whole or not at all, resumed shard by shard."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from hornbook.core.errors import StoreError
from hornbook.core.records import Document, Drop, documents, documents_table, drops_table, to_json

if TYPE_CHECKING:
    from hornbook.core.tools import Tools

Counts = Mapping[str, int | float]

KEPT = "kept"
DROPPED = "dropped"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: to a neighbour, then one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another root"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON with sorted keys, whole or not at all."""
    write_bytes(
        path,
        orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY),
    )


def read_json(path: Path) -> Any:
    """The value of a JSON file."""
    return orjson.loads(path.read_bytes())


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as zstd Parquet, whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes(path, sink.getvalue().to_pybytes())


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """One shard as a table."""
    try:
        return pq.ParquetFile(path).read(columns=list(columns) if columns else None)
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(
            f"{path} is damaged ({error}); `hornbook clean` removes it so that it is built again"
        ) from error


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.parquet"


def shards(folder: Path, part: str = KEPT) -> list[Path]:
    """The shards of a dataset in order; `part` is "kept" or "dropped"."""
    return sorted((folder / part).glob("shard-*.parquet"))


def read_documents(folder: Path, part: str = KEPT) -> Iterator[Document]:
    """Every document of a dataset, one shard in memory at a time."""
    for path in shards(folder, part):
        yield from documents(read_table(path, ["id", "text", "source", "kind", "meta"]))


def write_shard(
    out: Path,
    name: str,
    kept: Sequence[Document] | pa.Table,
    dropped: Sequence[Drop] = (),
    counts: Counts | None = None,
) -> Counts:
    """Write one shard's kept and dropped records and, last, its counts: the mark that the shard is whole.

    Counts hold `kept`, `dropped`, one `dropped.<reason>` each, and whatever the caller adds.
    """
    table = kept if isinstance(kept, pa.Table) else documents_table(kept)
    write_table(out / KEPT / name, table)
    if dropped:
        write_table(out / DROPPED / name, drops_table(dropped))
    reasons = Counter(f"dropped.{drop.reason}" for drop in dropped)
    total = {"kept": table.num_rows, "dropped": len(dropped), **reasons, **(counts or {})}
    write_bytes(out / "counts" / f"{name}.json", to_json(total).encode())
    return total


def add_counts(counts: Iterable[Counts]) -> dict[str, int | float]:
    """The sum of counts, key by key, in sorted order."""
    total: dict[str, int | float] = {}
    for count in counts:
        for key, value in count.items():
            total[key] = total.get(key, 0) + value
    return dict(sorted(total.items()))


def run_shards(
    label: str, work: Callable[[Any], Counts], jobs: Mapping[str, Any], out: Path, tools: Tools
) -> Counts:
    """Do `work(job)` for each shard name that has no counts yet, on the workers; the sum of all counts.

    `work` is a module-level function that ends in `write_shard`; `jobs` maps shard name to its argument.
    A shard finished before a kill is not done again.
    """
    done = {name: out / "counts" / f"{name}.json" for name in jobs}
    open_jobs = [job for name, job in jobs.items() if not done[name].exists()]
    with tools.progress.bar(label, total=len(jobs), unit="shards") as bar:
        bar.advance(len(jobs) - len(open_jobs))
        for _ in tools.workers.map(work, open_jobs):
            bar.advance()
    return add_counts(read_json(path) for path in done.values())
