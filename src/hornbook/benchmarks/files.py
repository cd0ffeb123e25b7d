"""Rows of a benchmark's file: JSONL (plain, .gz, .zst) or Parquet, given by the user or fetched from the Hub once."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from hornbook.core.errors import InputError

Row = dict[str, Any]


def open_lines(path: Path) -> BinaryIO:
    """The bytes of a file, unpacked where its name ends in .gz or .zst; InputError where there is none."""
    try:
        if path.suffix == ".gz":
            return cast(BinaryIO, gzip.open(path))
        if path.suffix == ".zst":
            import zstandard

            return io.BufferedReader(cast(io.RawIOBase, zstandard.open(path)))
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def read_rows(path: Path, needed: tuple[str, ...]) -> list[Row]:
    """Every row of a benchmark's file; InputError names the line that is broken or lacks a `needed` field.

    JSON's NaN, Infinity and integers of any size are read: test inputs have them.
    """
    rows = list(_parquet(path) if path.suffix == ".parquet" else _jsonl(path))
    for number, row in enumerate(rows, 1):
        if lacking := [name for name in needed if name not in row]:
            raise InputError(
                f"{path}, row {number}: no field {', '.join(lacking)}; it has {', '.join(row) or 'none'}"
            )
    if not rows:
        raise InputError(f"{path} holds no problem")
    return rows


def _jsonl(path: Path) -> Iterator[Row]:
    for number, line in numbered_lines(path):
        try:
            if line.strip():
                yield dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}, line {number}: not JSONL ({error})") from error


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, each with its number; InputError where the file breaks off."""
    number = 0
    with open_lines(path) as file:
        try:
            for number, line in enumerate(file, 1):
                yield number, line
        except Exception as error:  # each kind of packing has errors of its own
            raise InputError(f"{path} breaks off after line {number}: {error}") from error


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        yield from pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet: {error}") from error


def hub_rows(repository: str, pattern: str, needed: tuple[str, ...]) -> list[Row]:
    """Rows of the Parquet files of a Hub dataset, from the Hub's own cache once fetched.

    InputError where neither the cache nor the Hub has it; it says how to name a file instead.
    """
    folder = _snapshot(repository, pattern)
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise InputError(f"the Hub's dataset {repository} has no {pattern} any more; name a file instead")
    return [row for path in paths for row in read_rows(path, needed)]


def _snapshot(repository: str, pattern: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    def fetch(only_here: bool) -> Path:
        return Path(
            snapshot_download(
                repository, repo_type="dataset", allow_patterns=pattern, local_files_only=only_here
            )
        )

    try:
        folder = fetch(only_here=True)
        if any(folder.glob(pattern)):
            return folder
    except LocalEntryNotFoundError:
        pass
    try:
        return fetch(only_here=False)
    except Exception as error:
        raise InputError(
            f"the dataset {repository} is neither in the Hub's cache nor can it be fetched"
            f" ({type(error).__name__}); name a file after a colon, as in mbpp:FILE"
        ) from error
