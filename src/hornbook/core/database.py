"""An SQLite file that threads and processes share."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hornbook.core.errors import StoreError

CACHE_KIB = 64 * 1024
"""Keys are hashes, so every look-up is at another place of the index."""
PATIENCE = 120
"""Seconds to wait for a file that others are writing to."""


class Database:
    """One file and its connection; what goes wrong with it is a StoreError that says what it holds.

    `synchronous` is SQLite's word for what survives a power cut: "normal" may lose the last moments, "full" nothing.
    """

    def __init__(self, path: Path, holds: str, tables: str, synchronous: str = "normal") -> None:
        self.path, self.holds = path, holds
        self._one_at_a_time = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            _log_ahead(self._db)
            self._db.execute(f"pragma synchronous = {synchronous}")
            self._db.execute(f"pragma cache_size = -{CACHE_KIB}")
            self._db.executescript(tables)
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StoreError:
        return StoreError(f"{self.holds} {self.path} failed ({error}); free space, or move the file away")

    def __enter__(self) -> sqlite3.Connection:
        """The connection, for this thread alone; every statement is committed as it ends."""
        self._one_at_a_time.acquire()
        return self._db

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._one_at_a_time.release()
        if isinstance(error, OSError | sqlite3.Error):
            raise self._failed(error) from error

    @contextmanager
    def whole(self) -> Iterator[sqlite3.Connection]:
        """The connection within a transaction: all of it is written, or nothing."""
        with self as db:
            db.execute("begin immediate")
            try:
                yield db
                db.execute("commit")
            except BaseException:
                if db.in_transaction:  # SQLite itself rolls back where a disk is full
                    db.execute("rollback")
                raise

    def close(self) -> None:
        with self:
            self._db.close()


def _log_ahead(db: sqlite3.Connection) -> None:
    """Turn on the write-ahead log; while others do the same to a new file, SQLite refuses it without waiting."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            db.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
