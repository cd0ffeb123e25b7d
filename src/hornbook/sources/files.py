"""Files as documents: this interpreter's library, the packages beside it, and folders."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hornbook.core.errors import InputError
from hornbook.core.places import is_url, open_place
from hornbook.core.records import Document, Drop
from hornbook.sources.source import KEPT_CHARS, Bounds, Candidate, Source, needed_path, quarantined, sieved
from hornbook.text.files import Found, renamed, walk, walk_url
from hornbook.text.packages import site_folders
from hornbook.text.sieve import decode

SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "site-packages", "dist-packages", ".git", ".venv", "node_modules"}
)


def find_stdlib(source: Source) -> Iterator[Found]:
    return renamed(walk(Path(sysconfig.get_path("stdlib")), ".py", SKIPPED_FOLDERS), "stdlib/")


def find_installed(source: Source) -> Iterator[Found]:
    for folder in site_folders():
        yield from walk(folder, ".py", frozenset({"__pycache__"}))


def find_folder(source: Source) -> Iterator[Found]:
    if is_url(source.place):
        return renamed(walk_url(source.place, (source.suffix,), SKIPPED_FOLDERS), f"{source.label}/")
    folder = needed_path(source)
    if not folder.is_dir():
        raise InputError(f"{source.path} is a file; a source of kind folder needs a folder")
    return renamed(walk(folder, source.suffix, SKIPPED_FOLDERS), f"{source.label}/")


def about(candidate: Candidate, owners: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """What is known of a file before it is read: its package and licence."""
    name = candidate.found.name
    if candidate.source.kind == "stdlib":
        return {"package": "stdlib", "licence": "PSF-2.0"}
    if candidate.source.kind == "installed":
        return owners.get(name, {"package": name.partition("/")[0], "licence": ""})
    return candidate.found.meta


def read_files(candidates: Sequence[Candidate], bounds: Bounds, work: Path) -> Iterator[Document | Drop]:
    return (_read(candidate, bounds) for candidate in candidates)


def _read(candidate: Candidate, bounds: Bounds) -> Document | Drop:
    found = candidate.found
    huge = found.size_bytes > bounds.max_document_bytes
    try:
        with open_place(found.path) as file:
            data = file.read(4 * KEPT_CHARS if huge else -1)
    except OSError as error:
        return quarantined(candidate, found.name, b"", ("unreadable", str(error.strerror or error)))
    return from_bytes(candidate, data, bounds)


def from_bytes(candidate: Candidate, data: bytes, bounds: Bounds) -> Document | Drop:
    """A whole file as a document; of one that is too large its beginning is enough."""
    found = candidate.found
    if found.size_bytes > bounds.max_document_bytes:
        detail = f"{found.size_bytes:,} bytes; the limit is {bounds.max_document_bytes:,}"
        return quarantined(candidate, found.name, data, ("huge", detail))
    try:
        text = decode(data)
    except (UnicodeError, LookupError) as error:
        return quarantined(candidate, found.name, data, ("undecodable", str(error)))
    return sieved(Document(text, found.name, candidate.source.document_kind, candidate.meta), bounds)
