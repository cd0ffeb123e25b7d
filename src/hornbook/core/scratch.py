"""Folders in the temporary directory that no killed process leaves behind for good."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal

Purpose = Literal["sandbox", "launch"]
NAME = re.compile(r"hornbook-(sandbox|launch)-\w{8}")
YOUNG_SECONDS = 60.0
"""A folder this young may be waiting for its lock."""


class Scratch:
    """A temporary folder, locked as long as this process lives and `close` was not called."""

    def __init__(self, purpose: Purpose) -> None:
        remove_abandoned(tempfile.gettempdir())
        self.path = Path(tempfile.mkdtemp(prefix=f"hornbook-{purpose}-"))
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove the folder and all in it; a second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


@contextmanager
def scratch(purpose: Purpose) -> Iterator[Path]:
    """A Scratch that is closed at the end."""
    folder = Scratch(purpose)
    try:
        yield folder.path
    finally:
        folder.close()


@lru_cache(maxsize=8)
def remove_abandoned(place: str) -> None:
    """Remove this user's scratch folders whose process is dead; a process does so once for a place.

    A lock on the folder itself shows that its process lives, also where it is in another container.
    """
    for folder in filter(lambda found: NAME.fullmatch(found.name), Path(place).glob("hornbook-*")):
        with suppress(OSError):
            about = folder.lstat()
            if about.st_uid != os.getuid() or time.time() - about.st_mtime < YOUNG_SECONDS:
                continue
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
