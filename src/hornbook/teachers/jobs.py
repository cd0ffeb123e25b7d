"""One job of a batch interface, from a file here to a file here: upload, create, look, fetch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hornbook.core.errors import TeacherError
from hornbook.core.progress import Progress
from hornbook.core.shards import write_bytes
from hornbook.teachers.calls import Server, backoff_seconds, trouble
from hornbook.teachers.journal import Journal

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
