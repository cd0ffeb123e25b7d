"""A server's batch interface as a teacher: many asks in one job, at a lower price, found again after any kill."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from hornbook.core.progress import Progress, Silent
from hornbook.core.records import to_json
from hornbook.core.shards import write_bytes
from hornbook.teachers.answers import question
from hornbook.teachers.ask import Answer, Ask, Failed
from hornbook.teachers.budget import Ledger
from hornbook.teachers.calls import REASONS, Server, Trouble, chat_body
from hornbook.teachers.jobs import TARGET, Jobs
from hornbook.teachers.journal import Journal
from hornbook.teachers.ownloop import OwnLoop
from hornbook.teachers.replies import read_reply, used_tokens

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
