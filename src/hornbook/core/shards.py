"""A dataset is a folder of Parquet shards: written whole or not at all, resumed shard by shard."""

from __future__ import annotations

import errno
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from hornbook.core.errors import HornbookError, StageError, StoreError
from hornbook.core.records import Document, Drop, documents, documents_table, drops_table, to_json
from hornbook.core.workers import WorkerDied, Workers

if TYPE_CHECKING:
    from hornbook.core.context import Tools

Counts = Mapping[str, int | float]

KEPT = "kept"
DROPPED = "dropped"
MANY_VALUES = frozenset({"id", "text", "source", "meta"})
"""A dictionary of these is given up after a megabyte: without, reading is twice as fast."""
FAILED = "failed"
"""One JSON file for each shard that was set aside: its error."""
TRIES = 3
NOT_THE_SHARD = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
"""Errors of the disk: no shard would fare better."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its place whole or not at all: a neighbour, then one rename."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another place"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as file:
        file.write(data)


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
    few_values = [name for name in table.column_names if name not in MANY_VALUES]
    pq.write_table(table, sink, compression="zstd", use_dictionary=few_values)
    write_bytes(path, sink.getvalue().to_pybytes())


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """One shard as a table."""
    try:
        return pq.ParquetFile(path).read(list(columns) if columns else None, use_threads=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(
            f"{path} is damaged ({error}); `hornbook clean` removes it so that it is built again"
        ) from error


def shard_name(number: int) -> str:
    return f"shard-{number:05d}.parquet"


def shards(folder: Path, part: str = KEPT) -> list[Path]:
    """The shards of a dataset in order; `part` is "kept" or "dropped"."""
    return sorted((folder / part).glob("shard-*.parquet"))


def count_rows(folder: Path, part: str = KEPT) -> int:
    """How many records a dataset has, by the ends of its files alone."""
    return sum(pq.read_metadata(path).num_rows for path in shards(folder, part))


def read_documents(folder: Path, part: str = KEPT) -> Iterator[Document]:
    """Every document of a dataset, one shard in memory at a time."""
    for path in shards(folder, part):
        yield from documents(read_table(path, ["id", "text", "source", "kind", "meta"]))


def write_shard(
    out: Path,
    name: str,
    kept: Sequence[Document] | pa.Table | Path,
    dropped: Sequence[Drop] = (),
    counts: Counts | None = None,
) -> Counts:
    """Write one shard's kept and dropped records and, last, its counts: the mark that the shard is whole.

    A path as `kept` is a shard that is kept as it is: its bytes are taken over.
    Counts hold `kept`, `dropped`, one `dropped.<reason>` each, and whatever the caller adds.
    """
    if isinstance(kept, Path):
        rows = pq.read_metadata(kept).num_rows
        write_bytes(out / KEPT / name, kept.read_bytes())
    else:
        table = kept if isinstance(kept, pa.Table) else documents_table(kept)
        rows = table.num_rows
        write_table(out / KEPT / name, table)
    if dropped:
        write_table(out / DROPPED / name, drops_table(dropped))
    reasons = Counter(f"dropped.{drop.reason}" for drop in dropped)
    total = {"kept": rows, "dropped": len(dropped), **reasons, **(counts or {})}
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
    A shard finished before a kill is not done again. One that fails TRIES times is set aside: failed/ says why,
    `shards_failed` counts it, and the others go on. StageError where more than half of them fail.
    """
    done = {name: out / "counts" / f"{name}.json" for name in jobs}
    open_jobs = {name: job for name, job in jobs.items() if not done[name].exists()}
    for name in jobs:
        (out / FAILED / f"{name}.json").unlink(missing_ok=True)
    failed = 0
    with tools.progress.bar(label, len(jobs), "shards", len(jobs) - len(open_jobs)) as bar:
        for name, error in _attempts(work, open_jobs, done, tools.workers):
            bar.advance()
            if error:
                failed += 1
                write_json(out / FAILED / f"{name}.json", {"shard": name, "error": error, "tries": TRIES})
                tools.progress.say(f"{label}: {name} failed {TRIES} times and is set aside: {error}")
            if failed > len(jobs) / 2:
                raise StageError(f"{label}: more than half of the shards failed; the last with: {error}")
    total = add_counts(read_json(path) for path in done.values() if path.exists())
    return {**total, "shards_failed": failed} if failed else total


def _attempts(
    work: Callable[[Any], Counts], jobs: Mapping[str, Any], done: Mapping[str, Path], workers: Workers
) -> Iterator[tuple[str, str]]:
    """Each shard's name with its error, empty where it was finished.

    After a worker's death, the shards that are still open go one at a time: so the guilty one is known.
    """
    calls = [(work, name, job) for name, job in jobs.items()]
    told = 0
    try:
        for outcome in workers.map(_attempt, calls):
            told += 1
            yield outcome
    except WorkerDied:
        for call in calls[told:]:
            error = "" if done[call[1]].exists() else _attempt_alone(call, workers)
            yield call[1], error


def _attempt(call: tuple[Callable[[Any], Counts], str, Any]) -> tuple[str, str]:
    """Try a shard up to TRIES times; what a person must mend (a full disk, a wrong setting) is raised at once."""
    work, name, job = call
    error = ""
    for _ in range(TRIES):
        try:
            work(job)
        except HornbookError:
            raise
        except Exception as problem:
            if isinstance(problem, OSError) and problem.errno in NOT_THE_SHARD:
                raise
            place = traceback.extract_tb(problem.__traceback__)[-1]
            error = f"{type(problem).__name__}: {problem} ({Path(place.filename).name}:{place.lineno})"
        else:
            return name, ""
    return name, error


def _attempt_alone(call: tuple[Callable[[Any], Counts], str, Any], workers: Workers) -> str:
    for _ in range(TRIES):
        try:
            return next(iter(workers.map(_attempt, [call])))[1]
        except WorkerDied as problem:
            error = str(problem)
    return error
