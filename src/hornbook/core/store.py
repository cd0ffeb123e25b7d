"""The store: one folder for each thing ever made, named by what it was made from; whole or absent."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from hornbook.core.errors import StoreError, first_line
from hornbook.core.fs import filesystem
from hornbook.core.hashing import file_hash
from hornbook.core.records import to_json
from hornbook.core.shards import NOT_THE_SHARD, Counts, read_json, write_json

TIMING = "timing.json"
"""Seconds it took: the one file that may differ between two builds of the same thing."""


def fingerprint(parts: Mapping[str, Any]) -> str:
    """The name of what `parts` make: 16 hex digits of BLAKE2b over their canonical JSON."""
    return hashlib.blake2b(to_json(dict(parts)).encode(), digest_size=8).hexdigest()


class Store:
    """Finished folders `<root>/store/<stage>/<fingerprint>`; unfinished ones end in `.partial`.

    With `url`, what is finished is published there too, and fetched from there when it is needed here.
    """

    def __init__(self, root: Path, url: str = "") -> None:
        self.root = root / "store"
        self.remote = Remote(url) if url else None

    def folder(self, stage: str, print_: str) -> Path:
        return self.root / stage / print_

    def partial(self, stage: str, print_: str) -> Path:
        return self.root / stage / f"{print_}.partial"

    def has(self, stage: str, print_: str) -> bool:
        here = (self.folder(stage, print_) / MANIFEST).exists()
        return here or bool(self.remote and self.remote.has(f"{stage}/{print_}"))

    def manifest(self, stage: str, print_: str) -> dict[str, Any]:
        path = self.folder(stage, print_) / MANIFEST
        if self.remote and not path.exists():
            return self.remote.manifest(f"{stage}/{print_}")
        return dict(read_json(path))

    def fetched(self, stage: str, print_: str) -> Path:
        """The finished folder, brought here first where only the remote store has it."""
        folder = self.folder(stage, print_)
        if self.remote and not (folder / MANIFEST).exists():
            self.remote.fetch(f"{stage}/{print_}", folder)
        return folder

    @contextmanager
    def building(self, stage: str, print_: str) -> Iterator[Path]:
        """The partial folder of a thing, locked: a second run that wants to build it is refused."""
        partial = self.partial(stage, print_)
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            lock = _locked(partial)
            partial.mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot write the store at {self.root}: {error.strerror}; choose another --root"
            ) from error
        try:
            with explained(self.root):
                yield partial
        finally:
            os.close(lock)

    def publish(
        self, stage: str, print_: str, parts: Mapping[str, Any], counts: Counts, seconds: float
    ) -> Path:
        """Write the manifest last, then turn the partial folder into the finished one by one rename.

        It goes to the remote store before that, so that what is finished here is finished there.
        """
        partial, folder = self.partial(stage, print_), self.folder(stage, print_)
        self.interrupted(stage, print_, seconds)
        write_json(partial / MANIFEST, {**parts, "counts": dict(counts), "files": _files(partial)})
        if self.remote:
            self.remote.upload(partial, f"{stage}/{print_}")
        if (folder / MANIFEST).exists():  # another run was faster, and made the same
            shutil.rmtree(partial)
        else:
            partial.rename(folder)
        partial.with_suffix(".lock").unlink(missing_ok=True)
        return folder

    def interrupted(self, stage: str, print_: str, seconds: float) -> None:
        """Remember the time already spent on a thing that was not finished."""
        timing = self.partial(stage, print_) / TIMING
        known = read_json(timing) if timing.exists() else {}  # a stage may have told more
        write_json(timing, {**known, "seconds": round(known.get("seconds", 0.0) + seconds, 2)})

    def finished(self) -> list[Path]:
        return sorted(
            path.parent for path in self.root.glob(f"*/*/{MANIFEST}") if path.parent.suffix != ".partial"
        )

    def unfinished(self) -> list[Path]:
        return sorted(self.root.glob("*/*.partial"))

    def under_way(self) -> list[Path]:
        """The unfinished folders that a run is building at this moment."""
        return [lock.with_suffix(".partial") for lock in sorted(self.root.glob("*/*.lock")) if _is_held(lock)]


@contextmanager
def explained(root: Path) -> Iterator[None]:
    """A full disk or a lost permission becomes one clear line; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in NOT_THE_SHARD:
            raise
        raise StoreError(
            f"cannot write under {root}: {error.strerror}; free space or choose another --root, "
            "then run again: finished work is kept"
        ) from error


def remove(folder: Path) -> None:
    """Remove a finished or unfinished folder: its manifest first, so that it is never half there."""
    (folder / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder)
    folder.with_suffix(".lock").unlink(missing_ok=True)


def size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _locked(partial: Path) -> int:
    """The open lock file of a partial folder, held; one that a run unlinked as it published is no lock any more."""
    path = partial.with_suffix(".lock")
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise StoreError(
                f"{partial} is being built by another run; wait for it, or use another --root"
            ) from error
        if path.exists() and os.path.samestat(os.fstat(lock), path.stat()):
            return lock
        os.close(lock)


def _is_held(lock: Path) -> bool:
    with suppress(FileNotFoundError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _files(folder: Path) -> dict[str, str]:
    """Relative path -> content hash of every file that must be the same in every build."""
    found = (
        path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in (TIMING, MANIFEST)
    )
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in found}


MANIFEST = "manifest.json"


class Remote:
    """Finished folders `<url>/<stage>/<fingerprint>`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.system, path = filesystem(self.url)
        self.path = path.rstrip("/")

    def has(self, name: str) -> bool:
        """Whether `<stage>/<fingerprint>` is there, whole."""
        with self._explained("looked at"):
            self.system.invalidate_cache()
            return bool(self.system.exists(f"{self.path}/{name}/{MANIFEST}"))

    def manifest(self, name: str) -> dict[str, Any]:
        with self._explained("read"):
            return dict(orjson.loads(self.system.cat_file(f"{self.path}/{name}/{MANIFEST}")))

    def upload(self, folder: Path, name: str) -> None:
        """Every file of a folder, its manifest last."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST]
        with self._explained("written"):
            for path in [*files, folder / MANIFEST]:
                target = f"{self.path}/{name}/{path.relative_to(folder).as_posix()}"
                if (
                    "file" in self.system.protocol
                ):  # object stores have no folders, and s3fs would make a bucket
                    self.system.makedirs(target.rpartition("/")[0], exist_ok=True)
                self.system.put_file(str(path), target)

    def fetch(self, name: str, folder: Path) -> None:
        """Bring a folder here; StoreError if a file is not what its manifest says."""
        arriving = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
        shutil.rmtree(arriving, ignore_errors=True)
        try:
            self._fetch(name, arriving)
            if not folder.exists():  # else another run was faster
                arriving.rename(folder)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)

    def _fetch(self, name: str, arriving: Path) -> None:
        files = self.manifest(name)["files"]
        for file in [*files, MANIFEST]:
            target = arriving / file
            if not target.resolve().is_relative_to(arriving.resolve()):
                raise self._damaged(name, file)
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._explained("read"):
                self.system.get_file(f"{self.path}/{name}/{file}", str(target))
        for file, wanted in files.items():
            if file_hash(arriving / file) != wanted:
                raise self._damaged(name, file)

    def _damaged(self, name: str, file: str) -> StoreError:
        return StoreError(f"{self.url}/{name}/{file} is damaged; remove {name} there to build it again")

    @contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each filesystem has errors of its own
            raise StoreError(
                f"the store at {self.url} cannot be {done}: {first_line(error)}; check the address, the credentials "
                "and the network, then run again: finished work is kept"
            ) from error
