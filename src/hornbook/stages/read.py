"""read: the Python on this machine, folders, JSONL and Parquet become documents; what is none is set aside.

A file that is no document is dropped with its reason. A Parquet file whose footer cannot be read holds nothing
that can be, so it stops the stage with one InputError, as a missing file does; damage further in costs the rest
of that file alone.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import orjson
import xxhash
from pydantic import Field

from hornbook.core.config import Config
from hornbook.core.errors import InputError
from hornbook.core.records import Document, Drop, Kind, text_id
from hornbook.core.shards import Counts, add_counts, run_shards, shard_name, write_shard
from hornbook.core.tools import Tools
from hornbook.text.files import Found, Line, Truncated, files_identity, found_file, lines, walk
from hornbook.text.packages import owners_of_files, site_folders
from hornbook.text.sieve import Limits, decode, refusal

KEPT_CHARS = 2_000
"""Of a dropped text, this much is kept."""
OWN_FOLDER = str(Path(__file__).resolve().parents[1]) + os.sep
SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "site-packages", "dist-packages", ".git", ".venv", "node_modules"}
)


class Source(Config):
    """One place that documents come from."""

    kind: Literal["stdlib", "installed", "folder", "jsonl", "parquet"]
    path: str = ""
    """A folder (folder), a file, or a folder of such files (jsonl, parquet)."""
    name: str = ""
    """What the source of its documents begins with; empty: the last part of the path."""
    suffix: str = ".py"
    """Which files of a folder are read."""
    text_key: str = "text"
    """The JSON key or Parquet column that holds the text."""
    meta_keys: tuple[str, ...] = Field((), strict=False)
    """Further keys or columns to keep in meta: licence, path, stars."""
    document_kind: Kind = "code"


class ReadConfig(Config):
    """What is read, and how much of it."""

    sources: tuple[Source, ...] = Field(
        (Source(kind="stdlib"), Source(kind="installed")), strict=False, min_length=1
    )
    max_bytes: int = Field(0, ge=0)
    """Bytes on disk to read at most, a seeded sample of all files and records; 0 reads everything."""
    seed: int = 0
    """Chooses the sample."""
    shard_bytes: int = Field(8_000_000, ge=1_000)
    """About this much text goes into a shard."""
    max_document_bytes: int = Field(1_000_000, ge=1)
    """A larger file or record is dropped as huge."""
    max_line_bytes: int = Field(16_000_000, ge=1_000)
    """A longer line of a JSONL file is dropped unparsed."""
    max_code_line_chars: int = Field(2_000, ge=1)
    """Code with a longer line is dropped as minified."""
    max_mean_line_chars: int = Field(100, ge=1)
    """Code with longer lines on average is dropped as minified."""
    max_literal_share: float = Field(0.7, ge=0, le=1)
    """Code of which strings and numbers are a larger share is dropped as mostly data."""

    @property
    def limits(self) -> Limits:
        return Limits(
            self.max_document_bytes,
            self.max_code_line_chars,
            self.max_mean_line_chars,
            self.max_literal_share,
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file to read, and what is known of it before."""

    source: Source
    found: Found
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """The files of one shard, or one file of records that fills as many shards as it needs."""

    config: ReadConfig
    out: Path
    stem: str
    candidates: tuple[Candidate, ...]
    share: float


@dataclass(frozen=True, slots=True)
class SourceKind:
    """How the files of a source are found, and how one is read; `records`: a file holds many documents."""

    find: Callable[[Source], Iterable[Found]]
    read: Callable[[Candidate, ReadConfig], Iterator[Document | Drop]]
    records: bool = False


def run(config: ReadConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Read all sources into shards of documents; a file or record that is none is dropped with its reason."""
    candidates = _candidates(config)
    owners = owners_of_files() if any(source.kind == "installed" for source in config.sources) else {}
    total = sum(candidate.found.size_bytes for candidate in candidates)
    share = min(1.0, config.max_bytes / total) if config.max_bytes and total else 1.0
    jobs = {}
    for number, batch in enumerate(_batches(_choose(candidates, config, share), config)):
        known = tuple(Candidate(c.source, c.found, _meta(c, owners)) for c in batch)
        stem = shard_name(number).removesuffix(".parquet")
        jobs[f"{stem}.parquet"] = Job(config, out, stem, known, share)
    counts = run_shards("read", _read_job, jobs, out, tools)
    return {"files_found": len(candidates), "bytes_found": total, **counts}


def identity(config: ReadConfig, cache: Path | None = None) -> Mapping[str, str]:
    """The hash of all files that may be read; `cache` is a folder for an index that makes the next call fast."""
    files = {f"{c.source.kind}:{c.found.name}": c.found for c in _candidates(config)}
    hashes = {"files": files_identity(files, cache / "files.json" if cache else None)}
    if any(source.kind == "installed" for source in config.sources):
        packages = sorted(p.name for folder in site_folders() for p in folder.glob("*.dist-info"))
        hashes["packages"] = text_id("\n".join(packages))
    return hashes


def _candidates(config: ReadConfig) -> list[Candidate]:
    """Every file of every source, without hornbook's own, in order of source and name."""
    found: list[Candidate] = []
    for source in config.sources:
        files = (f for f in KINDS[source.kind].find(source) if not f.path.startswith(OWN_FOLDER))
        try:
            found.extend(Candidate(source, f) for f in sorted(files, key=lambda f: f.name))
        except OSError as error:
            raise InputError(
                f"{error.filename or source.path} cannot be read: {error.strerror or error}"
            ) from error
    if not found:
        raise InputError("read.sources: no file to read in any of them; check the paths and suffixes")
    return found


def _find_stdlib(source: Source) -> Iterator[Found]:
    folder = Path(sysconfig.get_path("stdlib"))
    return _renamed(walk(folder, ".py", SKIPPED_FOLDERS), "stdlib/")


def _find_installed(source: Source) -> Iterator[Found]:
    for folder in site_folders():
        yield from walk(folder, ".py", frozenset({"__pycache__"}))


def _find_folder(source: Source) -> Iterator[Found]:
    folder = _existing(source)
    if not folder.is_dir():
        raise InputError(f"{source.path} is a file; a source of kind folder needs a folder")
    return _renamed(walk(folder, source.suffix, SKIPPED_FOLDERS), f"{source.name or folder.resolve().name}/")


def _find_jsonl(source: Source) -> Iterator[Found]:
    return _find_record_files(source, (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".ndjson"))


def _find_parquet(source: Source) -> Iterator[Found]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for found in _find_record_files(source, (".parquet",)):
        try:
            columns = pq.read_schema(found.path).names
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{found.path} is not a whole Parquet file ({error}); replace it") from error
        missing = [name for name in (source.text_key, *source.meta_keys) if name not in columns]
        if missing:
            raise InputError(f"{found.path} has no column {missing[0]}; it has {', '.join(columns)}")
        yield found


def _find_record_files(source: Source, suffixes: tuple[str, ...]) -> Iterator[Found]:
    path = _existing(source)
    if path.is_file():
        found = found_file(path)
        yield Found(source.name or found.name, found.path, found.size_bytes, found.mtime_ns)
        return
    files = (f for f in walk(path) if f.name.endswith(suffixes))
    yield from _renamed(files, f"{source.name or path.resolve().name}/")


def _existing(source: Source) -> Path:
    path = Path(source.path)
    if not source.path or not path.exists():
        raise InputError(
            f"{source.path or 'path'} does not exist; a source of kind {source.kind} needs the path of its input"
        )
    return path


def _renamed(files: Iterable[Found], prefix: str) -> Iterator[Found]:
    return (Found(prefix + f.name, f.path, f.size_bytes, f.mtime_ns) for f in files)


def _meta(candidate: Candidate, owners: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    name = candidate.found.name
    if candidate.source.kind == "stdlib":
        return {"package": "stdlib", "licence": "PSF-2.0"}
    if candidate.source.kind == "installed":
        return owners.get(name, {"package": name.partition("/")[0], "licence": ""})
    return {}


def _choose(candidates: list[Candidate], config: ReadConfig, share: float) -> list[Candidate]:
    """All files of records, and of the others those that hash lowest until their share of the bytes is full.

    A file's place in that order depends on the seed and its name alone: files that come or go move no other.
    """
    if share == 1.0:
        return candidates
    whole = [c for c in candidates if not KINDS[c.source.kind].records]
    bytes_left = share * sum(c.found.size_bytes for c in whole)
    chosen = [c for c in candidates if KINDS[c.source.kind].records]
    for candidate in sorted(whole, key=lambda c: _draw(config.seed, c.found.name)):
        bytes_left -= min(candidate.found.size_bytes, config.max_document_bytes)
        if bytes_left < 0:
            break
        chosen.append(candidate)
    order = {id(candidate): number for number, candidate in enumerate(candidates)}
    return sorted(chosen, key=lambda c: order[id(c)])


def _draw(seed: int, name: str) -> float:
    """A number from 0 to 1 that belongs to a seed and a name."""
    return xxhash.xxh3_64_intdigest(f"{seed}:{name}".encode("utf-8", "surrogatepass")) / 2**64


def _batches(candidates: Iterable[Candidate], config: ReadConfig) -> Iterator[list[Candidate]]:
    """Files in batches of about a shard; a file of records by itself."""
    batch: list[Candidate] = []
    size = 0
    for candidate in candidates:
        alone = KINDS[candidate.source.kind].records
        if batch and (alone or size >= config.shard_bytes):
            yield batch
            batch, size = [], 0
        batch.append(candidate)
        size += config.shard_bytes if alone else candidate.found.size_bytes
    if batch:
        yield batch


def _read_job(job: Job) -> Counts:
    """Read the files of a job; full shards on the way are `<stem>-00000`, the last is `<stem>` with all counts."""
    kept: list[Document] = []
    dropped: list[Drop] = []
    done: list[Counts] = []
    chars = held = 0
    for record in _records(job):
        if isinstance(record, Drop):
            dropped.append(record)
        else:
            kept.append(record)
            held += len(record.text)
        if held >= job.config.shard_bytes and KINDS[job.candidates[0].source.kind].records:
            chars += held
            done.append(write_shard(job.out, f"{job.stem}-{len(done):05d}.parquet", kept, dropped))
            kept, dropped, held = [], [], 0
    reasons = {f"dropped.{drop.reason}": 0 for drop in dropped}
    for drop in dropped:
        reasons[f"dropped.{drop.reason}"] += 1
    last = {"kept": len(kept), "dropped": len(dropped), **reasons, "chars": chars + held}
    return write_shard(job.out, f"{job.stem}.parquet", kept, dropped, add_counts([*done, last]))


def _records(job: Job) -> Iterator[Document | Drop]:
    """Every document and drop of a job; records are drawn by the job's share, files were chosen before."""
    for candidate in job.candidates:
        kind = KINDS[candidate.source.kind]
        for record in kind.read(candidate, job.config):
            source = (record.document if isinstance(record, Drop) else record).source
            if not kind.records or job.share == 1.0 or _draw(job.config.seed, source) < job.share:
                yield record


def _read_file(candidate: Candidate, config: ReadConfig) -> Iterator[Document | Drop]:
    found = candidate.found
    huge = found.size_bytes > config.max_document_bytes
    try:
        with Path(found.path).open("rb") as file:
            data = file.read(4 * KEPT_CHARS if huge else -1)
    except OSError as error:
        yield _drop(candidate, found.name, b"", "unreadable", str(error.strerror or error))
        return
    if huge:
        detail = f"{found.size_bytes:,} bytes; the limit is {config.max_document_bytes:,}"
        yield _drop(candidate, found.name, data, "huge", detail)
        return
    try:
        text = decode(data)
    except (UnicodeDecodeError, LookupError) as error:
        yield _drop(candidate, found.name, data, "undecodable", str(error))
        return
    yield _sieved(Document(text, found.name, candidate.source.document_kind, candidate.meta), config)


def _read_jsonl(candidate: Candidate, config: ReadConfig) -> Iterator[Document | Drop]:
    path, name, number = Path(candidate.found.path), candidate.found.name, 0
    try:
        for line in lines(path, config.max_line_bytes):
            number = line.number
            where = f"{name}:{number}"
            if line.size_bytes > config.max_line_bytes:
                detail = (
                    f"line {number} has {line.size_bytes:,} bytes; the limit is {config.max_line_bytes:,}"
                )
                yield _drop(candidate, where, line.data, "long_line", detail)
            elif line.data.strip():
                yield _from_json(candidate, line, where, config)
    except Truncated as error:
        yield _drop(candidate, f"{name}:{number + 1}", b"", "truncated", f"after line {number}: {error}")


def _from_json(candidate: Candidate, line: Line, where: str, config: ReadConfig) -> Document | Drop:
    try:
        row = orjson.loads(line.data)
    except orjson.JSONDecodeError as error:
        return _drop(candidate, where, line.data, "broken_line", f"line {line.number}: {error}")
    return _from_row(candidate, row, where, config)


def _read_parquet(candidate: Candidate, config: ReadConfig) -> Iterator[Document | Drop]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found, number = candidate.found, 0
    columns = [candidate.source.text_key, *candidate.source.meta_keys]
    try:
        with pq.ParquetFile(found.path) as file:
            batches = file.iter_batches(256, columns=columns)
            for row in chain.from_iterable(batch.to_pylist() for batch in batches):
                number += 1
                yield _from_row(candidate, row, f"{found.name}:{number}", config)
    except (OSError, pa.ArrowException) as error:
        yield _drop(candidate, f"{found.name}:{number + 1}", b"", "damaged", f"after row {number}: {error}")


def _from_row(candidate: Candidate, row: Any, where: str, config: ReadConfig) -> Document | Drop:
    source = candidate.source
    text = row.get(source.text_key) if isinstance(row, dict) else None
    if not isinstance(text, str):
        said = repr(row)[:KEPT_CHARS].encode("utf-8", "replace")
        return _drop(
            candidate, where, said, "no_text", f"{source.text_key} is {type(text).__name__}, not a string"
        )
    meta = {key: row[key] for key in source.meta_keys if row.get(key) is not None}
    return _sieved(Document(text.replace("\r\n", "\n"), where, source.document_kind, meta), config)


def _sieved(document: Document, config: ReadConfig) -> Document | Drop:
    found = refusal(document.text, config.limits, document.kind == "code")
    if found is None:
        return document
    cut = Document(document.text[:KEPT_CHARS], document.source, document.kind, document.meta)
    return Drop(cut, *found)


def _drop(candidate: Candidate, where: str, data: bytes, reason: str, detail: str) -> Drop:
    text = data[: 4 * KEPT_CHARS].decode("utf-8", "replace")[:KEPT_CHARS]
    return Drop(Document(text, where, candidate.source.document_kind, candidate.meta), reason, detail)


KINDS: dict[str, SourceKind] = {
    "stdlib": SourceKind(_find_stdlib, _read_file),
    "installed": SourceKind(_find_installed, _read_file),
    "folder": SourceKind(_find_folder, _read_file),
    "jsonl": SourceKind(_find_jsonl, _read_jsonl, records=True),
    "parquet": SourceKind(_find_parquet, _read_parquet, records=True),
}
