"""Files of records: JSON lines (plain, .gz, .zst) and Parquet, on this machine, on a Hub or in an object store.

A Parquet file whose footer cannot be read holds nothing that can be, so it ends in an InputError, as a missing
file does; damage further in costs the rest of that file alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson

from hornbook.core.errors import InputError
from hornbook.core.fs import is_url, open_place
from hornbook.core.records import Document, Drop
from hornbook.stages.read.source import (
    KEPT_CHARS,
    Bounds,
    Candidate,
    Source,
    needed_path,
    quarantined,
    sieved,
)
from hornbook.stages.read.walk import Found, Line, Truncated, found_file, lines, renamed, walk, walk_url

BATCH_ROWS = 64
"""Rows of a Parquet file in memory at once: of The Stack about a megabyte."""
BUFFER_BYTES = 1 << 18
"""Where only the beginning is wanted, so much of a column is read ahead; else a row group's whole columns are."""


def find_jsonl(source: Source) -> Iterator[Found]:
    return find_record_files(source, (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".ndjson"))


def find_parquet(source: Source) -> Iterator[Found]:
    """The Parquet files of a source, each looked into: it must be whole and have the columns that are named."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for found in find_record_files(source, (".parquet",)):
        try:
            with open_place(found.path) as file:
                columns = pq.read_schema(file).names
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{found.path} is not a whole Parquet file ({error}); replace it") from error
        missing = [name for name in (source.text_column, *source.meta_columns) if name not in columns]
        if missing:
            raise InputError(f"{found.path} has no column {missing[0]}; it has {', '.join(columns)}")
        yield found


def find_record_files(source: Source, suffixes: tuple[str, ...]) -> Iterator[Found]:
    """One file, or all below a folder that end so; of a path or a URL."""
    if is_url(source.place):
        yield from renamed(walk_url(source.place, suffixes), f"{source.label}/")
        return
    path = needed_path(source)
    if path.is_file():
        found = found_file(path)
        yield replace(found, name=source.name or found.name)
        return
    yield from renamed((f for f in walk(path) if f.name.endswith(suffixes)), f"{source.label}/")


def read_jsonl(candidates: Sequence[Candidate], bounds: Bounds, work: Path) -> Iterator[Document | Drop]:
    return chain.from_iterable(_jsonl(candidate, bounds) for candidate in candidates)


def _jsonl(candidate: Candidate, bounds: Bounds) -> Iterator[Document | Drop]:
    for line in sound_lines(candidate, bounds):
        yield line if isinstance(line, Drop) else _from_json(candidate, line, bounds)


def sound_lines(candidate: Candidate, bounds: Bounds) -> Iterator[Line | Drop]:
    """The lines of a file that are not blank; one that is too long, or the cut end of an archive, as a drop."""
    name, number, share = candidate.found.name, 0, candidate.share
    first_bytes = None if share == 1.0 else int(share * candidate.found.size_bytes)
    try:
        for line in lines(candidate.found.path, bounds.max_line_bytes, first_bytes):
            number = line.number
            if line.size_bytes > bounds.max_line_bytes:
                detail = (
                    f"line {number} has {line.size_bytes:,} bytes; the limit is {bounds.max_line_bytes:,}"
                )
                yield quarantined(candidate, f"{name}:{number}", line.data, ("long_line", detail))
            elif line.data.strip():
                yield line
    except Truncated as error:
        why = ("truncated", f"after line {number}: {error}")
        yield quarantined(candidate, f"{name}:{number + 1}", b"", why)


def _from_json(candidate: Candidate, line: Line, bounds: Bounds) -> Document | Drop:
    where = f"{candidate.found.name}:{line.number}"
    try:
        row = orjson.loads(line.data)
    except orjson.JSONDecodeError as error:
        return quarantined(candidate, where, line.data, ("broken_line", f"line {line.number}: {error}"))
    return _from_row(candidate, row, where, bounds)


def read_parquet(candidates: Sequence[Candidate], bounds: Bounds, work: Path) -> Iterator[Document | Drop]:
    return chain.from_iterable(_parquet(candidate, bounds) for candidate in candidates)


def _parquet(candidate: Candidate, bounds: Bounds) -> Iterator[Document | Drop]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found, number = candidate.found, 0
    columns = [candidate.source.text_column, *candidate.source.meta_columns]
    reading = {} if candidate.share == 1.0 else {"buffer_size": BUFFER_BYTES, "pre_buffer": False}
    try:
        with open_place(found.path) as place, pq.ParquetFile(place, **reading) as file:
            batches = file.iter_batches(BATCH_ROWS, columns=columns)
            rows = chain.from_iterable(batch.to_pylist() for batch in batches)
            for row in islice(rows, math.ceil(candidate.share * file.metadata.num_rows)):
                number += 1
                yield _from_row(candidate, row, f"{found.name}:{number}", bounds)
    except (OSError, pa.ArrowException) as error:
        why = ("damaged", f"after row {number}: {error}")
        yield quarantined(candidate, f"{found.name}:{number + 1}", b"", why)


def _from_row(candidate: Candidate, row: Any, where: str, bounds: Bounds) -> Document | Drop:
    source = candidate.source
    text = row.get(source.text_column) if isinstance(row, dict) else None
    if not isinstance(text, str):
        said = repr(row)[:KEPT_CHARS].encode("utf-8", "replace")
        why = ("no_text", f"{source.text_column} is {type(text).__name__}, not a string")
        return quarantined(candidate, where, said, why)
    kept = {name: row.get(key) for key, name in source.meta_columns.items()}
    meta = {name: _as_json(value) for name, value in kept.items() if value is not None}
    return sieved(Document(text.replace("\r\n", "\n"), where, source.document_kind, meta), bounds)


def _as_json(value: Any) -> Any:
    """A column's value as meta can hold it: a list of one licence as that licence, decimals and the like as text."""
    if isinstance(value, list) and len(value) == 1:  # The Stack keeps lists, and people ask for the name
        return _as_json(value[0])
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str | int | float) else orjson.loads(orjson.dumps(value, default=str))
