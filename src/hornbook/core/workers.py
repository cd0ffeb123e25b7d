"""One way to spread work over processes: `map` in order, the same results for any number of workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from hornbook.core.errors import StageError

T = TypeVar("T")
R = TypeVar("R")


class Workers(Protocol):
    """Runs a module-level function over items; results come in the order of the items."""

    count: int

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]: ...

    def close(self) -> None: ...


class Serial:
    """Everything in this process."""

    count = 1

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        return map(work, items)

    def close(self) -> None:
        pass


class Pool:
    """A pool of fresh processes that die with their parent; items are taken lazily, a few ahead of the results."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.count, mp_context=context, initializer=_follow_parent)
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(self._pool.submit(work, item))
                if len(waiting) > 2 * self.count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            self._pool = None
            raise StageError(
                "a worker process died (often: out of memory); run again to resume, with fewer --workers"
            ) from error
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


WORKERS: dict[str, Callable[[int], Workers]] = {"serial": lambda _: Serial(), "pool": Pool}


def open_workers(kind: str, count: int) -> Workers:
    """The workers a machine asks for; one worker needs no pool."""
    return Serial() if count == 1 else WORKERS[kind](count)


def _follow_parent() -> None:
    """Die when the parent dies, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
        if os.getppid() == 1:
            os._exit(1)


def available_cpus() -> int:
    """Processors this process may use."""
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)
