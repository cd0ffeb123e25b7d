"""A server's batch interface as a teacher: many asks in one job, at a lower price, found again after any kill."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import orjson

from hornbook.core.database import Database
from hornbook.core.errors import StoreError, TeacherError
from hornbook.core.progress import Progress, Silent
from hornbook.core.records import to_json
from hornbook.core.shards import write_bytes
from hornbook.teachers.budget import Ledger
from hornbook.teachers.cache import question
from hornbook.teachers.chat import (
    REASONS,
    Server,
    Trouble,
    backoff_seconds,
    chat_body,
    read_reply,
    trouble,
    used_tokens,
)
from hornbook.teachers.pool import OwnLoop
from hornbook.teachers.request import Answer, Ask, Failed

MAX_JOB_BYTES = 190_000_000
MOST_WAITING = 100_000
"""Asks that wait together, in as many jobs as that takes: a job may take a day."""
Line = Mapping[str, Any]


class BatchEndpoint:
    """Gathers asks, sends them as jobs, and answers when a job is over, perhaps hours later.

    In `folder` are a journal, and the input and output of every job, the output before an answer is used. An
    ask is never sent again while a job with it is open or once one has answered it, whatever was killed in
    between. `counts` says what was wrong with the outputs: malformed_line, unknown_id, duplicate_id, missing_id.
    """

    grace_seconds = 0.0
    """Jobs go on without us."""

    def __init__(
        self,
        model: str,
        server: Server,
        folder: Path,
        ledger: Ledger | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.model = model
        self.place = server.place
        self.revision = self.place.revision
        self.concurrency = MOST_WAITING
        self.counts: Counter[str] = Counter()
        self._ledger = ledger
        self._server = server
        self._journal = Journal(folder / "batches.sqlite")
        self._jobs = Jobs(server, folder, self._journal, progress or Silent())
        self._asks: dict[str, Ask] = {}
        self._waiting: dict[str, asyncio.Future[Answer | Failed]] = {}
        self._gathered: list[str] = []
        self._postponed: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._carried: dict[str, asyncio.Task[None]] = {}
        self._loop = OwnLoop()

    async def answer(self, ask: Ask) -> Answer | Failed:
        """The answer from a job, or Failed; TeacherError where jobs cannot be sent, BudgetError where none may be.

        Reasons: missing_answer, batch_failed, batch_expired, batch_cancelled, and an Endpoint's.
        """
        return await self._loop.run(self._gather(ask))

    async def _gather(self, ask: Ask) -> Answer | Failed:
        name = question(self.model, self.revision, ask).key.hex()
        waiting = self._waiting.get(name)
        if waiting is None:
            loop = asyncio.get_running_loop()
            waiting = self._waiting[name] = loop.create_future()
            self._asks[name] = ask
            self._gathered.append(name)
            if self._timer is not None:
                self._timer.cancel()
            full = len(self._gathered) >= self.place.batch_asks
            self._timer = loop.call_later(0.0 if full else self.place.gather_seconds, self._send_gathered)
        return await asyncio.shield(waiting)

    def _send_gathered(self) -> None:
        names, self._gathered = self._gathered, []
        try:
            for part in self._parts(self._affordable(self._unsent(names))):
                self._follow(self._plan(part), fresh=True)
        except Exception as error:
            self._fail(names, error)

    def _affordable(self, names: Sequence[str]) -> list[str]:
        """The asks within the budget; the others wait until a job turns out cheaper than its worst case."""
        if self._ledger is None:
            return list(names)
        jobs_of = self._journal.jobs_of(self.place.url, names)
        sent: list[str] = []
        for position, name in enumerate(names):
            over = self._ledger.reserve(f"{name}:{len(jobs_of.get(name, ()))}", self._asks[name])
            if over and not sent and not self._carried:
                raise over
            if over:
                self._postponed += names[position:]
                break
            sent.append(name)
        return sent

    def _unsent(self, names: Sequence[str]) -> list[str]:
        """The asks that no job has answered or may still answer; those jobs are seen to."""
        jobs_of = self._journal.jobs_of(self.place.url, names)
        latest = {name: jobs[-1] for name, jobs in jobs_of.items()}
        open_jobs = {job for job in latest.values() if not self._journal.job(job).status}
        for job in open_jobs:
            self._follow(job)
        for job in set(latest.values()) - open_jobs:
            members = [name for name in names if latest.get(name) == job]
            answers = self._read(job, members)
            self._give({name: said for name, said in answers.items() if isinstance(said, Answer)})
        return [name for name in names if name in self._waiting and latest.get(name) not in open_jobs]

    def _parts(self, names: Sequence[str]) -> Iterator[dict[str, bytes]]:
        """Lines of jobs that keep the interface's limits on asks and bytes."""
        part: dict[str, bytes] = {}
        part_bytes = 0
        for name in names:
            body = chat_body(
                self._asks[name], self._server.model, self.place.schema_as, frozenset(self.place.without)
            )
            line = (
                to_json({"custom_id": name, "method": "POST", "url": TARGET, "body": body}).encode() + b"\n"
            )
            if part and (len(part) >= self.place.batch_asks or part_bytes + len(line) > MAX_JOB_BYTES):
                yield part
                part, part_bytes = {}, 0
            part[name] = line
            part_bytes += len(line)
        if part:
            yield part

    def _plan(self, part: Mapping[str, bytes]) -> str:
        """A new job whose file is on disk and whose asks are in the journal, before anything is sent."""
        job = self._journal.new_name(self.place.url, part)
        write_bytes(self._jobs.input(job), b"".join(part.values()))
        self._journal.plan(job, self.place.url, part)
        return job

    def _follow(self, job: str, fresh: bool = False) -> None:
        if job not in self._carried:
            self._carried[job] = asyncio.create_task(self._carry(job, fresh))

    async def _carry(self, job: str, fresh: bool) -> None:
        members = self._journal.asks(job)
        try:
            status = await self._jobs.carry(job, fresh)
            lines, wrong = read_output(self._jobs.output(job), members)
            self.counts += wrong
            self._settle(job, members, lines)
            self._journal.finished(job, status)
            self._give(self._read(job, [name for name in members if name in self._waiting]))
        except Exception as error:
            self._fail(members, error)
        finally:
            del self._carried[job]
            if self._postponed:
                self._gathered += self._postponed
                self._postponed = []
                self._send_gathered()

    def _read(self, job: str, names: Sequence[str]) -> dict[str, Answer | Failed]:
        """What the output of a finished job says about these asks."""
        status = self._journal.job(job).status
        lines, _ = read_output(self._jobs.output(job), self._journal.asks(job))
        absent = Failed(
            ABSENT.get(status, "missing_answer"), f"job {job} ended as {status} without this answer"
        )
        return {
            name: read_line(lines[name], self._asks[name], self._server) if name in lines else absent
            for name in names
        }

    def _settle(self, job: str, members: Sequence[str], lines: Mapping[str, Line]) -> None:
        if self._ledger is None:
            return
        jobs_of = self._journal.jobs_of(self.place.url, members)
        for name in members:
            call = f"{name}:{jobs_of[name].index(job)}"
            response = lines[name].get("response") or {} if name in lines else {}
            used = used_tokens(response.get("body") or {})
            if used is None:
                self._ledger.release(call)
            else:
                self._ledger.settle(call, *used)

    def _give(self, answers: Mapping[str, Answer | Failed]) -> None:
        for name, said in answers.items():
            waiting = self._waiting.pop(name, None)
            del self._asks[name]
            if waiting is not None and not waiting.done():
                waiting.set_result(said)

    def _fail(self, names: Sequence[str], error: Exception) -> None:
        for name in names:
            waiting = self._waiting.pop(name, None)
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)

    def close(self) -> None:
        """Stop waiting; jobs go on at the server and are found again."""
        self._loop.close(self._jobs.close())
        self._journal.close()


ABSENT = {"failed": "batch_failed", "expired": "batch_expired", "cancelled": "batch_cancelled"}


def read_output(path: Path, members: Sequence[str]) -> tuple[dict[str, Line], Counter[str]]:
    """The first readable line for each member of a job, and what was wrong with the rest."""
    lines: dict[str, Line] = {}
    wrong: Counter[str] = Counter()
    known = set(members)
    for text in path.read_bytes().splitlines():
        if not text.strip():
            continue
        try:
            line = orjson.loads(text)
            name = str(line["custom_id"])
        except (ValueError, LookupError, TypeError):
            wrong["malformed_line"] += 1
            continue
        if name not in known:
            wrong["unknown_id"] += 1
        elif name in lines:
            wrong["duplicate_id"] += 1
        else:
            lines[name] = line
    if missing := len(known) - len(lines):
        wrong["missing_id"] = missing
    return lines, wrong


def read_line(line: Line, ask: Ask, server: Server) -> Answer | Failed:
    """One line of a job's output as an answer, or why it is none."""
    response, error = line.get("response") or {}, line.get("error") or {}
    status = response.get("status_code")
    if status != 200:
        reason = (
            "batch_expired"
            if error.get("code") == "batch_expired"
            else REASONS.get(int(status or 0), "server_error")
        )
        return Failed(reason, server.clean(f"status {status}: {error or response.get('body')}"))
    said = read_reply(response.get("body") or {}, ask, server)
    return Failed(said.reason, said.detail) if isinstance(said, Trouble) else said


T = TypeVar("T")
TARGET = "/v1/chat/completions"
ENDS = {"completed", "failed", "expired", "cancelled"}
LABEL = "hornbook_job"
"""The metadata by which a job is found again on the server."""


class Jobs:
    """Carries jobs to their end; what was begun before, by this process or one that was killed, is gone on with.

    Where it is not known whether the server has a file or a job, the server is asked by the job's name
    before anything is sent.
    """

    def __init__(self, server: Server, folder: Path, journal: Journal, progress: Progress) -> None:
        self.place = server.place
        self._server = server
        self._folder = folder
        self._journal = journal
        self._progress = progress
        self._client: Any = None

    def input(self, job: str) -> Path:
        return self._folder / f"{job}.input.jsonl"

    def output(self, job: str) -> Path:
        return self._folder / f"{job}.output.jsonl"

    async def carry(self, job: str, fresh: bool) -> str:
        """The status in which a job ended; its output is on disk. `fresh`: nothing of it was ever sent."""
        known = self._journal.job(job)
        file_id = known.file_id
        if not file_id:
            file_id = await self._surely(
                "upload", fresh, lambda: self._find_file(job), lambda: self._upload(job)
            )
            self._journal.uploaded(job, file_id)
        batch_id = known.batch_id
        if not batch_id:
            fresh = fresh and not known.file_id
            find, create = lambda: self._find_batch(job), lambda: self._create(job, file_id)
            batch_id = await self._surely("create", fresh, find, create)
            self._journal.created(job, batch_id)
        batch = await self._end_of(batch_id)
        await self._fetch(job, batch)
        return str(batch.status)

    async def _surely(
        self,
        what: str,
        fresh: bool,
        find: Callable[[], Awaitable[str | None]],
        make: Callable[[], Awaitable[str]],
    ) -> str:
        """Make a thing on the server once: after any doubtful end look for it before making it again."""
        doubtful = not fresh

        async def once() -> str:
            nonlocal doubtful
            found = await find() if doubtful else None
            doubtful = True
            return found or await make()

        return await self._patiently(what, once)

    async def _patiently(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call, tried again as often as the place allows; TeacherError after that."""
        if self._client is None:
            self._client = self._server.client()
        for tries in range(1, self.place.tries + 1):
            try:
                async with asyncio.timeout(self.place.call_seconds):
                    return await call()
            except Exception as error:
                said = trouble(error, self._server)
            wait = backoff_seconds(tries, self.place.first_backoff_seconds, random.Random(f"{what}:{tries}"))
            if not said.again or tries == self.place.tries:
                break
            await asyncio.sleep(said.wait_seconds if said.wait_seconds is not None else wait)
        raise TeacherError(
            f"the batch interface at {self.place.url} failed to {what} a job {tries} times ({said.reason}: "
            f"{said.detail}); run again to go on with it"
        )

    async def _upload(self, job: str) -> str:
        data = self.input(job).read_bytes()
        file = await self._client.files.create(file=(f"{job}.jsonl", data), purpose="batch")
        return str(file.id)

    async def _find_file(self, job: str) -> str | None:
        whole_bytes = self.input(job).stat().st_size
        async for file in self._client.files.list(purpose="batch"):
            if file.filename == f"{job}.jsonl" and file.bytes == whole_bytes:
                return str(file.id)
        return None

    async def _create(self, job: str, file_id: str) -> str:
        batch = await self._client.batches.create(
            input_file_id=file_id, endpoint=TARGET, completion_window="24h", metadata={LABEL: job}
        )
        return str(batch.id)

    async def _find_batch(self, job: str) -> str | None:
        async for batch in self._client.batches.list():
            if (batch.metadata or {}).get(LABEL) == job:
                return str(batch.id)
        return None

    async def _end_of(self, batch_id: str) -> Any:
        """The job's state once it is final."""
        shown = ""
        while True:
            batch = await self._patiently("look at", lambda: self._client.batches.retrieve(batch_id))
            counts = batch.request_counts
            state = f"{batch.status}, {counts.completed} of {counts.total}" if counts else str(batch.status)
            if state != shown:
                self._progress.say(f"batch {batch_id}: {state}")
                shown = state
            if batch.status in ENDS:
                return batch
            await asyncio.sleep(self.place.poll_seconds)

    async def _fetch(self, job: str, batch: Any) -> None:
        """Write the answers and the errors of a job into one file, whole or not at all."""
        files = [file_id for file_id in (batch.output_file_id, batch.error_file_id) if file_id]
        parts = [await self._patiently("fetch", partial(self._content, file_id)) for file_id in files]
        write_bytes(self.output(job), b"\n".join(parts))

    async def _content(self, file_id: str) -> bytes:
        return bytes((await self._client.files.content(file_id)).content)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


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
