"""A store on any fsspec URL (s3://, gs://, memory://, ...): finished folders go up and come down whole.

An object store has no rename. A folder is there once its manifest is, and the manifest goes up last.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from hornbook.core.errors import StoreError, first_line
from hornbook.core.hashing import file_hash
from hornbook.core.places import filesystem

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
