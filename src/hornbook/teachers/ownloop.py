"""An event loop in a thread of its own, so that connections and limits outlive the loops of those who ask."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from hornbook.core.errors import TeacherError

T = TypeVar("T")


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
