"""Asking a teacher many things at once, and giving up where too much fails."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from hornbook.core.errors import StageError
from hornbook.teachers.ask import Answer, Ask, Failed, Teacher

LONGEST_GRACE_SECONDS = 3600.0


def answer_all(
    teacher: Teacher,
    asks: Sequence[Ask],
    concurrency: int | None = None,
    on_done: Callable[[Answer | Failed], None] | None = None,
) -> Iterator[Answer | Failed]:
    """The answers in the order of the asks, `concurrency` of them in flight (default: the teacher's own).

    The asking goes on in a thread of its own while the caller works on what it was given; `on_done` is
    called in the caller's thread as each answer arrives, in any order. Closing the iterator stops asking; an error
    of the teacher does so too, and is raised here once the answers under way have come.
    """
    arrived: queue.SimpleQueue[tuple[int, Answer | Failed | BaseException]] = queue.SimpleQueue()
    stop: Future[None] = Future()
    everything = _Asking(teacher, asks, concurrency or teacher.concurrency, arrived, stop)
    asking = threading.Thread(target=everything.run, daemon=True)
    asking.start()
    early: dict[int, Answer | Failed] = {}
    try:
        for number in range(len(asks)):
            while number not in early:
                which, answer = arrived.get()
                if isinstance(answer, BaseException):
                    raise answer
                early[which] = answer
                if on_done is not None:
                    on_done(answer)
            yield early.pop(number)
    finally:
        if not stop.done():
            stop.set_result(None)
        asking.join()


@dataclass(frozen=True)
class _Asking:
    """All asks to a teacher, in an event loop of their own, until they are answered or `stop` is done."""

    teacher: Teacher
    asks: Sequence[Ask]
    concurrency: int
    arrived: queue.SimpleQueue[tuple[int, Answer | Failed | BaseException]]
    stop: Future[None]

    def run(self) -> None:
        try:
            asyncio.run(self._everything())
        except BaseException as error:  # raised again where the answers are read
            self.arrived.put((-1, error))

    async def _everything(self) -> None:
        numbers = iter(range(len(self.asks)))
        tasks = [
            asyncio.create_task(self._one_by_one(numbers))
            for _ in range(min(self.concurrency, len(self.asks)))
        ]
        work: asyncio.Future[Any] = asyncio.gather(*tasks)
        stopped: asyncio.Future[Any] = asyncio.wrap_future(self.stop)
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        broken = work.done() and work.exception()
        if broken or stopped.done():
            await self._wind_up(tasks)
            await asyncio.gather(work, return_exceptions=True)
        if broken:
            raise broken

    async def _one_by_one(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            self.arrived.put((number, await self.teacher.answer(self.asks[number])))
            if self.stop.done():
                return

    async def _wind_up(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Begin nothing new, and wait a while for what is under way: it may be paid for."""
        if not self.stop.done():
            self.stop.set_result(None)
        _, late = await asyncio.wait(tasks, timeout=min(self.teacher.grace_seconds, LONGEST_GRACE_SECONDS))
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class FailureCap:
    """Counts a stage's failures by reason, and stops it once they are more than `max_share` of `total` asks."""

    stage: str
    total: int
    max_share: float
    reasons: Counter[str] = field(default_factory=Counter)

    def count(self, failed: Failed) -> None:
        """Count one; StageError with the reasons when it is one too many."""
        self.reasons[failed.reason] += 1
        if self.reasons.total() > self.max_share * self.total:
            counted = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
            raise StageError(
                f"{self.stage}: more than {self.max_share:.0%} of {self.total} asks failed ({counted}; last: "
                f"{failed.detail or failed.reason}); mend the teacher or raise this step's max_failed_share "
                "(answers so far are kept)"
            )
