"""An SQLite file that threads and processes share."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hornbook.core.errors import StoreError


class Database:
    """One file and its connection; what goes wrong with it is a StoreError that says what it holds.

    `synchronous` is SQLite's word for what survives a power cut: "normal" may lose the last moments, "full" nothing.
    """

    def __init__(self, path: Path, holds: str, tables: str, synchronous: str = "normal") -> None:
        self.path, self.holds = path, holds
        self._one_at_a_time = threading.Lock()
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=120, isolation_level=None, check_same_thread=False)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute(f"pragma synchronous = {synchronous}")
            self._db.executescript(tables)

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone; every statement is committed as it ends."""
        with self._told():
            yield self._db

    @contextmanager
    def whole(self) -> Iterator[sqlite3.Connection]:
        """The connection within a transaction: all of it is written, or nothing."""
        with self._told():
            self._db.execute("begin immediate")
            try:
                yield self._db
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            with self._one_at_a_time:
                yield
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{self.holds} {self.path} failed ({error}); free space, or move the file away"
            ) from error

    def close(self) -> None:
        with self._told():
            self._db.close()
