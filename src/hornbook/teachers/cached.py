"""No answer is paid for twice: an SQLite file that holds every answer under all that can change it."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from weakref import WeakValueDictionary

import orjson

from hornbook.core.errors import StoreError
from hornbook.core.records import to_json
from hornbook.teachers.ask import Answer, Ask, Failed, Teacher

TABLE = """
create table if not exists answers (
    key blob primary key, model text not null, revision text not null, ask text not null, answer text not null
) without rowid
"""


class Cached:
    """Another teacher behind a cache that several processes may share; failures are never kept.

    An answer is on disk before it is used, so a killed run pays for nothing again. Equal asks that are
    under way at the same time are asked once.
    """

    def __init__(self, teacher: Teacher, path: Path) -> None:
        self.teacher = teacher
        self.path = path
        self._one_at_a_time = threading.Lock()
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=120, isolation_level=None, check_same_thread=False)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = normal")
            self._db.execute(TABLE)

    @property
    def model(self) -> str:
        return self.teacher.model

    @property
    def revision(self) -> str:
        return self.teacher.revision

    @property
    def concurrency(self) -> int:
        return self.teacher.concurrency

    async def answer(self, ask: Ask) -> Answer | Failed:
        """The answer on disk, or else the teacher's, which is on disk when this returns."""
        asked = to_json(asdict(ask))
        key = _key(self.model, self.revision, asked)
        async with self._locks.setdefault(key, asyncio.Lock()):
            found = self._find(key)
            if found is not None:
                return found
            answer = await self.teacher.answer(ask)
            return self._keep(key, asked, answer) if isinstance(answer, Answer) else answer

    def find(self, ask: Ask) -> Answer | None:
        """The answer on disk, if it is there; nobody is asked."""
        return self._find(_key(self.model, self.revision, to_json(asdict(ask))))

    def _find(self, key: bytes) -> Answer | None:
        with self._told():
            row = self._db.execute("select answer from answers where key = ?", (key,)).fetchone()
        return None if row is None else replace(Answer(**orjson.loads(row[0])), cached=True)

    def _keep(self, key: bytes, asked: str, answer: Answer) -> Answer:
        """Write the answer; where another process was first, its answer holds for both."""
        row = (key, self.model, self.revision, asked, to_json(asdict(answer)))
        with self._told():
            written = self._db.execute("insert or ignore into answers values (?, ?, ?, ?, ?)", row).rowcount
        return answer if written else self._find(key) or answer

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            with (
                self._one_at_a_time
            ):  # an asker may be under way when the teacher is closed: sqlite must not see both
                yield
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"the cache of answers {self.path} failed ({error}); free space, or move the file away"
            ) from error

    def close(self) -> None:
        with self._told():
            self._db.close()
        self.teacher.close()


def _key(model: str, revision: str, asked: str) -> bytes:
    return hashlib.sha256("\0".join((model, revision, asked)).encode()).digest()
