"""Asking a teacher many things at once, and giving up where too much fails."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from hornbook.core.errors import StageError, TeacherError
from hornbook.teachers.request import Answer, Ask, Failed, Front, Teacher

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


class OwnLoop:
    """Runs coroutines for callers in any other loop, until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._closing = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="teacher", daemon=True)
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, run there and awaited here; cancelling here cancels it there.

        TeacherError where it was closed before the result was there.
        """
        begun = self.start(work)
        try:
            return await asyncio.wrap_future(begun)
        except asyncio.CancelledError:
            if self._closing:
                raise TeacherError("the teacher was closed while it answered; open it again") from None
            raise

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin `work` there, from any thread; TeacherError where the loop is closed."""
        if self._closing:
            work.close()
            raise TeacherError("the teacher is closed; open it again")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Cancel what is under way, run `last`, stop; closing twice does nothing."""
        if self._closing:
            last.close()
            return
        self._closing = True
        asyncio.run_coroutine_threadsafe(_finish(last), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _finish(last: Coroutine[Any, Any, None]) -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last
