"""One SQLite file, whole transactions, and errors that say what the file holds."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hornbook.core.database import Database
from hornbook.core.errors import StoreError

TABLE = "create table if not exists words (word text primary key)"


def _words(database: Database) -> list[str]:
    with database as db:
        return [word for (word,) in db.execute("select word from words order by word")]


def test_a_transaction_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    database = Database(tmp_path / "words.sqlite", "the words in", TABLE)
    with database.whole() as db:
        db.executemany("insert into words values (?)", [("a",), ("b",)])
    with pytest.raises(StoreError, match=r"the words in .*words\.sqlite failed"), database.whole() as db:
        db.executemany("insert into words values (?)", [("c",), ("a",)])
    assert _words(database) == ["a", "b"]
    database.close()


def test_an_error_is_told_that_sqlite_has_answered_with_a_rollback_of_its_own(tmp_path: Path) -> None:
    """As it does where a disk is full."""
    database = Database(tmp_path / "words.sqlite", "the words in", TABLE)
    with pytest.raises(StoreError, match="UNIQUE constraint"), database.whole() as db:
        db.executemany("insert or rollback into words values (?)", [("a",), ("a",)])
    with database.whole() as db:
        db.execute("insert into words values ('b')")
    assert _words(database) == ["b"]
    database.close()


def test_a_new_file_is_opened_by_many_at_once(tmp_path: Path) -> None:
    for number in range(40):
        path, together = tmp_path / f"{number}.sqlite", threading.Barrier(6)

        def open_one(path: Path = path, together: threading.Barrier = together) -> Database:
            together.wait()
            return Database(path, "the words in", TABLE)

        with ThreadPoolExecutor(6) as threads:
            for opened in [threads.submit(open_one) for _ in range(6)]:
                opened.result().close()
