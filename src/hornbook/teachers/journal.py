"""What was sent to a batch interface, on disk before it is sent: a killed run finds its jobs again."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hornbook.core.database import Database
from hornbook.core.errors import StoreError

TABLES = """
create table if not exists jobs (
    job text primary key, url text not null, file_id text not null default '', batch_id text not null default '',
    status text not null default ''
);
create table if not exists members (
    job text not null, ask text not null, position integer not null, primary key (job, position)
) without rowid;
create index if not exists members_by_ask on members (ask);
"""
SQL_NAMES = 500


@dataclass(frozen=True, slots=True)
class Job:
    """One batch under our own name; `file_id` and `batch_id` are the server's, empty while unknown.

    `status` is empty until the job has ended and its output is on disk.
    """

    job: str
    url: str
    file_id: str
    batch_id: str
    status: str


class Journal:
    """Jobs, the asks in each, and the server's names for them; every change is committed when the call returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._alone = path.with_suffix(".lock").open("w")
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}; choose another --root") from error
        self._claim()
        # a lost line could mean an upload paid twice
        self._database = Database(path, "the journal of batches", TABLES, synchronous="full")

    def new_name(self, url: str, asks: Iterable[str]) -> str:
        """A name for a job of these asks that no earlier job has."""
        with self._database as db:
            number = db.execute("select count(*) from jobs").fetchone()[0]
        return hashlib.sha256("\n".join([str(number), url, *asks]).encode()).hexdigest()[:32]

    def plan(self, name: str, url: str, asks: Iterable[str]) -> None:
        """Note a job and its asks, before anything of it is sent."""
        rows = [(name, ask, position) for position, ask in enumerate(asks)]
        with self._database.whole() as db:
            db.execute("insert into jobs (job, url) values (?, ?)", (name, url))
            db.executemany("insert into members values (?, ?, ?)", rows)

    def uploaded(self, job: str, file_id: str) -> None:
        self._set(job, "file_id", file_id)

    def created(self, job: str, batch_id: str) -> None:
        self._set(job, "batch_id", batch_id)

    def finished(self, job: str, status: str) -> None:
        self._set(job, "status", status)

    def job(self, name: str) -> Job:
        with self._database as db:
            row = db.execute(
                "select job, url, file_id, batch_id, status from jobs where job = ?", (name,)
            ).fetchone()
        return Job(*row)

    def asks(self, job: str) -> list[str]:
        """The asks of a job in the order of its file."""
        with self._database as db:
            rows = db.execute("select ask from members where job = ? order by position", (job,))
            return [ask for (ask,) in rows]

    def jobs_of(self, url: str, asks: Iterable[str]) -> dict[str, list[str]]:
        """For each ask that was ever sent to `url` the jobs it is in, the latest last."""
        found: dict[str, list[str]] = {}
        names = list(asks)
        for start in range(0, len(names), SQL_NAMES):
            part = names[start : start + SQL_NAMES]
            query = (
                "select m.ask, m.job from members m join jobs j on j.job = m.job "
                f"where j.url = ? and m.ask in ({','.join('?' * len(part))}) order by j.rowid"
            )
            with self._database as db:
                for ask, job in db.execute(query, (url, *part)):
                    found.setdefault(ask, []).append(job)
        return found

    def _set(self, job: str, column: str, value: str) -> None:
        with self._database as db:
            db.execute(f"update jobs set {column} = ? where job = ?", (value, job))

    def _claim(self) -> None:
        """One run at a time: two could send the same asks."""
        try:
            fcntl.flock(self._alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._alone.close()
            raise StoreError(
                f"{self.path} is in use by another run; wait for it, or use another --root"
            ) from error

    def close(self) -> None:
        self._database.close()
        self._alone.close()
