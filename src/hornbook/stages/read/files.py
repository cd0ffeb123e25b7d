"""Files as documents: this interpreter's library, the packages beside it, and folders."""

from __future__ import annotations

import csv
import importlib.metadata
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageMetadata
from pathlib import Path

from hornbook.core.errors import InputError
from hornbook.core.fs import is_url, open_place
from hornbook.core.records import Document, Drop
from hornbook.stages.read.heuristics import decode
from hornbook.stages.read.source import (
    KEPT_CHARS,
    Bounds,
    Candidate,
    Source,
    needed_path,
    quarantined,
    sieved,
)
from hornbook.stages.read.walk import Found, renamed, walk, walk_url

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


def site_folders() -> list[Path]:
    """The folders that the running interpreter's packages are installed in."""
    return [Path(path) for path in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})]


def owners_of_files() -> dict[str, dict[str, str]]:
    """File name relative to site-packages -> package, version and licence, from the packages' own records."""
    owners: dict[str, dict[str, str]] = {}
    for package in importlib.metadata.distributions(path=[str(folder) for folder in site_folders()]):
        known = package.metadata  # parsed anew each time it is asked for
        if not known or "Name" not in known:
            continue  # what a broken installation left behind
        meta = {"package": known["Name"], "version": known["Version"], "licence": licence(known)}
        for row in filter(None, csv.reader((package.read_text("RECORD") or "").splitlines())):
            owners[row[0]] = meta
    return owners


def licence(known: PackageMetadata) -> str:
    """The licence a package names, in its shortest form; empty where it names none."""
    for name in ("License-Expression", "License"):
        for text in known.get_all(name) or ():
            if text.strip() and len(text) <= 100 and "\n" not in text and text != "UNKNOWN":
                return str(text).strip()
    classifiers = [c for c in known.get_all("Classifier") or () if c.startswith("License ::")]
    return "; ".join(c.rpartition(":: ")[2] for c in classifiers)
