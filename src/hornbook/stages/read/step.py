"""read: the Python on this machine, folders, repositories, JSONL, Parquet and question dumps become documents.

What is no document is dropped with its reason, and reading goes on.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import xxhash
from pydantic import Field

import hornbook
from hornbook.core.context import Tools
from hornbook.core.errors import InputError
from hornbook.core.fs import Unreachable
from hornbook.core.records import Document, Drop, text_id, to_json
from hornbook.core.shards import Counts, add_counts, run_shards, shard_name, write_shard
from hornbook.stages.read.files import (
    about,
    find_folder,
    find_installed,
    find_stdlib,
    owners_of_files,
    read_files,
    site_folders,
)
from hornbook.stages.read.git import find_git, read_git
from hornbook.stages.read.records import find_jsonl, find_parquet, read_jsonl, read_parquet
from hornbook.stages.read.source import Bounds, Candidate, Source, SourceKind
from hornbook.stages.read.stack_exchange import find_posts, read_posts
from hornbook.stages.read.walk import Found, files_identity

WHOLE_BYTES = 1_000_000
"""A file of records that is smaller is drawn whole: it may be a single record. Only the last one drawn is cut."""
WORK = "work"
"""Where a source keeps what must wait on disk while it is read."""


class ReadConfig(Bounds):
    """What is read, and how much of it."""

    sources: tuple[Source, ...] = Field(
        (Source(kind="stdlib"), Source(kind="installed")), strict=False, min_length=1
    )
    max_bytes: int = Field(0, ge=0)
    """Bytes on disk to take at most, the same share of every kind of source; 0 takes everything. Files are sampled
    whole, JSONL and Parquet files below 1 MB too. Of larger ones, and of the last small one, the first bytes (of
    Parquet the first rows) are taken, and the line or row that these end in is finished: so much may come on top.
    Questions of a dump are sampled, and the dump is read through, since an answer may stand anywhere. A file whose
    store tells no size is sampled whole and counts as nothing."""
    seed: int = 0
    """Chooses the samples."""
    shard_bytes: int = Field(8_000_000, ge=1_000)
    """About this much text goes into a shard."""


@dataclass(frozen=True, slots=True)
class Job:
    """The files of one shard, or one file of records that fills as many shards as it needs."""

    config: ReadConfig
    out: Path
    stem: str
    candidates: tuple[Candidate, ...]
    share: float


def run(config: ReadConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Read all sources into shards of documents; a file or record that is none is dropped with its reason."""
    candidates = _candidates(config)
    owners = owners_of_files() if any(source.kind == "installed" for source in config.sources) else {}
    total = sum(map(_size_bytes, candidates))
    share = min(1.0, config.max_bytes / total) if config.max_bytes and total else 1.0
    jobs = {}
    chosen = _choose(candidates, config, share)
    if not chosen:
        raise InputError(
            f"read.max_bytes is {config.max_bytes:,}, and the first file that was drawn is larger; raise it"
        )
    for number, batch in enumerate(_batches(chosen, config)):
        known = tuple(replace(c, meta=about(c, owners)) for c in batch)
        stem = shard_name(number).removesuffix(".parquet")
        jobs[f"{stem}.parquet"] = Job(config, out, stem, known, share)
    counts = run_shards("read", _read_job, jobs, out, tools)
    shutil.rmtree(out / WORK, ignore_errors=True)
    return {"files_found": len(candidates), "bytes_found": total, **counts}


def identity(config: ReadConfig, cache: Path | None = None) -> Mapping[str, str]:
    """The hash of all files that may be read; `cache` is a folder for an index that makes the next call fast."""
    files = {f"{c.source.kind}:{c.found.name}": c.found for c in _candidates(config)}
    with _reachable("read.sources"):
        hashes = {"files": files_identity(files, cache / "files.json" if cache else None)}
    told = {to_json({**found.meta, "path": ""}) for found in files.values() if found.meta}
    if told:
        hashes["about"] = text_id("\n".join(sorted(told)))
    if any(source.kind == "installed" for source in config.sources):
        packages = sorted(p.name for folder in site_folders() for p in folder.glob("*.dist-info"))
        hashes["packages"] = text_id("\n".join(packages))
    return hashes


def revisions(config: ReadConfig) -> Mapping[str, str]:
    """The branches of the Hub that are read, and their commits; the fingerprint holds the files' contents instead."""
    return {place: commit for source in config.sources for place, commit in source.revisions.items()}


def _candidates(config: ReadConfig) -> list[Candidate]:
    """Every file of every source, without hornbook's own, in order of source and name."""
    found: list[Candidate] = []
    for source in (written.pinned for written in config.sources):
        files = _without_own(KINDS[source.kind].find(source))
        with _reachable(source.path):
            found.extend(_first(source, sorted(files, key=lambda f: f.name)))
    if not found:
        raise InputError("read.sources: no file to read in any of them; check the paths and suffixes")
    return found


def _without_own(files: Iterable[Found]) -> Iterator[Found]:
    """The files outside hornbook's own package, whatever links lead to it."""
    own = Path(hornbook.__file__).resolve().parent
    is_own: dict[str, bool] = {}
    for found in files:
        folder = found.path.rpartition("/")[0]
        if folder not in is_own:
            is_own[folder] = Path(folder).resolve().is_relative_to(own)
        if not is_own[folder]:
            yield found


def _first(source: Source, files: list[Found]) -> Iterator[Candidate]:
    """The files of a source, as far as its `first_bytes` reach; of a file of records, its beginning."""
    bytes_left = source.first_bytes
    for place, found in enumerate(files):
        if not source.first_bytes or found.size_bytes <= bytes_left:
            yield Candidate(source, found)
        elif bytes_left and KINDS[source.kind].records:
            yield Candidate(source, found, share=bytes_left / found.size_bytes)
        elif not place:
            yield Candidate(source, found)
        bytes_left = max(bytes_left - found.size_bytes, 0)


@contextmanager
def _reachable(place: str) -> Iterator[None]:
    """Before any work, what cannot be read is for a person to mend."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename or place} cannot be read: {error.strerror or error}") from error
    except Unreachable as error:
        raise InputError(str(error)) from error


def _choose(candidates: list[Candidate], config: ReadConfig, share: float) -> list[Candidate]:
    """All dumps whole, a share of all large files of records, and some of the others, in the order given."""
    if share == 1.0:
        return candidates
    chosen: list[tuple[int, Candidate]] = []
    others: list[tuple[int, Candidate]] = []
    for place, candidate in enumerate(candidates):
        kind = KINDS[candidate.source.kind]
        if kind.records and not kind.begins:
            chosen.append((place, candidate))
        elif kind.begins and candidate.found.size_bytes >= WHOLE_BYTES:
            chosen.append((place, replace(candidate, share=share * candidate.share)))
        else:
            others.append((place, candidate))
    chosen += _sample(others, config, share)
    return [candidate for _, candidate in sorted(chosen, key=itemgetter(0))]


def _sample(
    files: list[tuple[int, Candidate]], config: ReadConfig, share: float
) -> Iterator[tuple[int, Candidate]]:
    """Those that hash lowest until their share of the bytes is full; a file of records is cut to what is left.

    A file's place in that order depends on the seed and its name alone: files that come or go move no other.
    """
    bytes_left = share * sum(_size_bytes(candidate) for _, candidate in files)
    drawn = sorted((_draw(config.seed, candidate.found.name), place, candidate) for place, candidate in files)
    for draw, place, candidate in drawn:
        size, begins = _size_bytes(candidate), KINDS[candidate.source.kind].begins
        if begins and not size and draw >= share:
            continue  # nothing of it would ever fill the share
        cost = size if begins else min(size, config.max_document_bytes)
        if cost > bytes_left:
            if begins and bytes_left > 0:
                yield place, replace(candidate, share=candidate.share * bytes_left / size)
            return
        bytes_left -= cost
        yield place, candidate


def _size_bytes(candidate: Candidate) -> int:
    """Of a file, or of its beginning where only that may be read."""
    return round(candidate.share * candidate.found.size_bytes)


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
    reasons = Counter(f"dropped.{drop.reason}" for drop in dropped)
    last = {"kept": len(kept), "dropped": len(dropped), **reasons, "chars": chars + held}
    return write_shard(job.out, f"{job.stem}.parquet", kept, dropped, add_counts([*done, last]))


def _records(job: Job) -> Iterator[Document | Drop]:
    """Every document and drop of a job; questions are drawn by the job's share, files were chosen before."""
    work = job.out / WORK / job.stem
    for name, candidates in groupby(job.candidates, key=lambda candidate: candidate.source.kind):
        kind = KINDS[name]
        for record in kind.read(list(candidates), job.config, work):
            source = (record.document if isinstance(record, Drop) else record).source
            if (
                not kind.records
                or kind.begins
                or job.share == 1.0
                or _draw(job.config.seed, source) < job.share
            ):
                yield record


KINDS: dict[str, SourceKind] = {
    "stdlib": SourceKind(find_stdlib, read_files),
    "installed": SourceKind(find_installed, read_files),
    "folder": SourceKind(find_folder, read_files),
    "git": SourceKind(find_git, read_git),
    "jsonl": SourceKind(find_jsonl, read_jsonl, records=True, begins=True),
    "parquet": SourceKind(find_parquet, read_parquet, records=True, begins=True),
    "stack-exchange": SourceKind(find_posts, read_posts, records=True),
}
