"""Pieces of work that ask a teacher more than once, many at a time, for a caller without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from hornbook.teachers.answering import LONGEST_GRACE_SECONDS
from hornbook.teachers.ask import Answer, Ask, Failed, Front, Teacher
from hornbook.teachers.ownloop import OwnLoop

T = TypeVar("T")


class Asking(Front):
    """A teacher and a loop that works on coroutines which ask it; a context manager.

    Any number of coroutines may be started; no more asks are in flight than the teacher takes, and those that
    came first go first. At the end of the `with` nothing new is asked, answers under way are waited for as long as
    the teacher wants (they may be paid for), and what is unfinished then is cancelled.
    """

    def __init__(self, teacher: Teacher) -> None:
        super().__init__(teacher)
        self._slots = asyncio.Semaphore(teacher.concurrency)
        self._under_way: set[asyncio.Task[Answer | Failed]] = set()

    async def answer(self, ask: Ask) -> Answer | Failed:
        """The teacher's answer, once it is this ask's turn."""
        async with self._slots:
            asking = asyncio.create_task(self._answer(ask))
            self._under_way.add(asking)
            asking.add_done_callback(self._under_way.discard)
            return await asyncio.shield(asking)

    async def _answer(self, ask: Ask) -> Answer | Failed:
        return await self.teacher.answer(ask)

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a piece of work; its result waits in the future."""
        return self._loop.start(work)

    def __enter__(self) -> Self:
        self._loop = OwnLoop()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Wind up; the teacher itself stays open."""
        self._loop.start(self._wind_up()).result()
        self._loop.close(_nothing())

    async def _wind_up(self) -> None:
        under_way = set(self._under_way)
        for task in asyncio.all_tasks() - under_way - {asyncio.current_task()}:
            task.cancel()
        if under_way:
            grace = min(self.teacher.grace_seconds, LONGEST_GRACE_SECONDS)
            await asyncio.wait(under_way, timeout=grace)


async def _nothing() -> None:
    pass
