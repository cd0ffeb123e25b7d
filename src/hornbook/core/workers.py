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

from hornbook.core.errors import ConfigError, StageError

DIED = "a worker process died (often: out of memory); run again to resume, with fewer --workers"

T = TypeVar("T")
R = TypeVar("R")


class WorkerDied(StageError):
    """A worker process was killed or crashed while it worked; nobody knows yet on which item."""


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
            raise WorkerDied(DIED) from error
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


class Ray:
    """Tasks on a Ray cluster: the one that RAY_ADDRESS names, else `count` processes of a new one here.

    On several machines, the root must be a folder that all of them share under the same path.
    """

    def __init__(self, count: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise ConfigError("engine ray needs the package ray; install hornbook[ray]") from error
        self.count = count
        self._ray: Any = ray
        self._started = False

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        if not self._started and not self._ray.is_initialized():
            self._start()
        task = self._ray.remote(max_retries=0)(_work_in)
        folder = os.getcwd()  # noqa: PTH109  (a plain string travels)
        waiting: deque[Any] = deque()
        try:
            for item in items:
                waiting.append(task.remote(folder, work, item))
                if len(waiting) > 2 * self.count:
                    yield self._result(waiting.popleft())
            while waiting:
                yield self._result(waiting.popleft())
        finally:
            for reference in waiting:
                self._ray.cancel(reference)

    def _start(self) -> None:
        try:
            self._ray.init(num_cpus=self.count, include_dashboard=False, log_to_driver=False)
        except ValueError as error:  # RAY_ADDRESS names a cluster, whose size is its own affair
            if "num_cpus" not in str(error):
                raise
            self._ray.init(log_to_driver=False)
            self.count = max(1, int(self._ray.cluster_resources().get("CPU", self.count)))
        self._started = True

    def _result(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause from error
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as error:
            raise WorkerDied(DIED) from error

    def close(self) -> None:
        if self._started:
            self._ray.shutdown()
            self._started = False


def _work_in(folder: str, work: Callable[[T], R], item: T) -> R:
    """Relative paths mean the same in every process."""
    os.chdir(folder)
    return work(item)


WORKERS: dict[str, Callable[[int], Workers]] = {"serial": lambda _: Serial(), "pool": Pool, "ray": Ray}


def open_workers(kind: str, count: int) -> Workers:
    """The workers a machine asks for; one worker needs no pool."""
    return Serial() if count == 1 and kind == "pool" else WORKERS[kind](count)


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
