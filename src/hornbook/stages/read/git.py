"""Git repositories on disk: the tracked files of one commit, read from the object database, licence noted.

Nothing of a repository is run: no hooks, no filters, no work tree. A file's version is its blob's id.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import IO

from hornbook.core.errors import InputError
from hornbook.core.records import Document, Drop
from hornbook.stages.read.files import from_bytes
from hornbook.stages.read.source import KEPT_CHARS, Bounds, Candidate, Source, needed_path, quarantined
from hornbook.stages.read.walk import Found

LICENCE_NAMES = ("license", "licence", "copying", "unlicense")
LICENCE_PHRASES = {
    "GPL-3.0": ("gnu general public license", "version 3"),
    "GPL-2.0": ("gnu general public license", "version 2"),
    "AGPL-3.0": ("gnu affero general public license",),
    "LGPL": ("gnu lesser general public license",),
    "Apache-2.0": ("apache license", "version 2.0"),
    "MPL-2.0": ("mozilla public license", "2.0"),
    "BSD-3-Clause": ("redistribution and use in source and binary forms", "neither the name"),
    "BSD-2-Clause": ("redistribution and use in source and binary forms",),
    "MIT": ("permission is hereby granted, free of charge", "the software is provided"),
    "ISC": ("permission to use, copy, modify, and/or distribute",),
    "Unlicense": ("this is free and unencumbered software",),
    "PSF-2.0": ("python software foundation license",),
}
"""SPDX name -> phrases that its text holds; the first that fits counts, so AGPL and LGPL come before GPL below."""
_ORDER = ("AGPL-3.0", "LGPL", *LICENCE_PHRASES)


def find_git(source: Source) -> Iterator[Found]:
    """The tracked files of a repository's commit, or of every repository in a folder."""
    path = needed_path(source)
    if shutil.which("git") is None:
        raise InputError("a source of kind git needs the program git; install it")
    repositories = [path] if _is_repository(path) else sorted(p for p in path.iterdir() if _is_repository(p))
    if not repositories:
        raise InputError(f"{source.path} is no git repository and holds none")
    for repository in repositories:
        name = source.label if repository == path else f"{source.label}/{repository.name}"
        yield from _tracked(repository, name, source)


def read_git(candidates: Sequence[Candidate], bounds: Bounds, work: Path) -> Iterator[Document | Drop]:
    """Each file's blob, from one `git cat-file` a repository."""
    for repository, group in groupby(candidates, key=lambda candidate: candidate.found.path):
        command = [*_git(Path(repository)), "cat-file", "--batch"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin
            assert process.stdout
            for candidate in group:
                process.stdin.write(candidate.found.version.encode() + b"\n")
                process.stdin.flush()
                yield _read(candidate, process.stdout, bounds)


def _read(candidate: Candidate, blobs: IO[bytes], bounds: Bounds) -> Document | Drop:
    header = blobs.readline().split()
    if len(header) != 3:
        why = ("unreadable", f"blob {candidate.found.version} is not in the repository")
        return quarantined(candidate, candidate.found.name, b"", why)
    left = int(header[2]) + 1
    data = blobs.read(min(left, 4 * KEPT_CHARS)) if left > bounds.max_document_bytes + 1 else blobs.read(left)
    left -= len(data)
    while left > 0:
        left -= len(blobs.read(min(left, 1 << 20)))
    return from_bytes(candidate, data[: int(header[2])], bounds)


def _is_repository(path: Path) -> bool:
    return (path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir())


def _git(repository: Path) -> list[str]:
    """Git on this repository whoever owns it: reading objects runs nothing of it."""
    safe = ["-c", f"safe.directory={repository.resolve()}", "-c", "core.fsmonitor=false"]
    return ["git", "--no-replace-objects", *safe, "-C", str(repository)]


def _ask(repository: Path, *words: str) -> bytes:
    found = subprocess.run([*_git(repository), *words], capture_output=True, check=False)
    if found.returncode:
        said = found.stderr.decode("utf-8", "replace").strip().splitlines()
        raise InputError(f"{repository}: git {words[0]} failed: {said[-1] if said else found.returncode}")
    return found.stdout


def _tracked(repository: Path, name: str, source: Source) -> Iterator[Found]:
    revision = source.revision or "HEAD"
    commit = (
        _ask(repository, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
        .decode()
        .strip()
    )
    files = list(_list(repository, commit))
    meta = {"repository": name, "commit": commit, **_licence(repository, files)}
    for path, blob, size in files:
        if path.endswith(source.suffix):
            about = {**meta, "path": path}
            yield Found(f"{name}/{path}", str(repository), size, version=blob, meta=about)


def _list(repository: Path, commit: str) -> Iterator[tuple[str, str, int]]:
    """Path, blob and size of each regular file of a commit: no links, no submodules."""
    for row in _ask(repository, "ls-tree", "-r", "-z", "-l", "--full-tree", commit).split(b"\0"):
        about, _, path = row.partition(b"\t")
        fields = about.split()
        if len(fields) == 4 and fields[0].startswith(b"100"):
            yield path.decode("utf-8", "replace"), fields[2].decode(), int(fields[3])


def _licence(repository: Path, files: Sequence[tuple[str, str, int]]) -> Mapping[str, str]:
    """The licence file at the root, and the licence that its words are those of; empty where there is none."""
    for path, blob, _ in sorted(files):
        if "/" not in path and PurePosixPath(path).name.lower().startswith(LICENCE_NAMES):
            text = _ask(repository, "cat-file", "blob", blob)[:20_000].decode("utf-8", "replace")
            return {"licence": licence_of(text), "licence_file": path}
    return {"licence": "", "licence_file": ""}


def licence_of(text: str) -> str:
    """The SPDX name of a licence text; "other" where its words are those of none in the table."""
    words = " ".join(text.lower().split())
    fitting = (name for name in _ORDER if all(phrase in words for phrase in LICENCE_PHRASES[name]))
    return next(fitting, "other")
