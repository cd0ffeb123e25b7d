"""The Sandbox: workers that judge programs in other processes, and what it takes to believe them."""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from hornbook.core.errors import SandboxError
from hornbook.core.scratch import Scratch
from hornbook.sandbox import wire
from hornbook.sandbox.isolation import LEVELS, missing_layers
from hornbook.sandbox.program import Limits, Mode, Program, Verdict

START = """import json, sys
sys.path[:] = json.loads(sys.argv[1])
from hornbook.sandbox.warden import main
main()"""
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
"""All that a program sees besides HOME and TMPDIR; the fixed hash seed makes the order of sets repeatable."""
START_SECONDS = 60.0


class Sandbox:
    """Judges programs in isolated processes, a few at a time; a context manager.

    mode "strict": the program and its tests live in two processes; "fast": in one, for programs that gain nothing by
    cheating. `require_isolation` names a level (isolation.LEVELS) or a layer; SandboxError where it does not hold.
    `preload` are modules beyond the usual ones to import before the first program.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        workers: int = 2,
        mode: Mode = "strict",
        require_isolation: str = "",
        preload: Sequence[str] = (),
    ) -> None:
        self.limits = limits or Limits()
        self.workers = max(1, workers)
        self.mode: Mode = mode
        self.require_isolation = require_isolation
        self.preload = tuple(preload)
        self.isolation: tuple[str, ...] = ()
        self._all: list[_Worker] = []
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._alone = threading.Lock()

    def __enter__(self) -> Self:
        try:
            self._all = [_Worker(self._order()) for _ in range(self.workers)]
            layers = [worker.ready() for worker in self._all]
            self.isolation = tuple(name for name in layers[0] if all(name in other for other in layers))
            if missing := missing_layers(self.require_isolation, self.isolation):
                raise SandboxError(
                    f"isolation {self.require_isolation} was asked for, but {', '.join(missing)} cannot be had here;"
                    f" what holds: {', '.join(self.isolation)}; levels: {', '.join(LEVELS)}"
                )
        except BaseException:
            self.close()
            raise
        for worker in self._all:
            self._idle.put(worker)
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process of the sandbox; verdicts still under way raise SandboxError."""
        workers, self._all = self._all, []
        for worker in workers:
            worker.close()

    def verdict(self, program: Program) -> Verdict:
        """Judge one program; safe to call from several threads."""
        with self._worker() as worker:
            answer = self._judge(worker, program)
        if self._may_be_load(answer["cause"]):
            answer = self._judge_alone(program)
        answer.pop("cause")
        return Verdict(**answer)

    def verdicts(self, programs: Iterable[Program]) -> Iterator[Verdict]:
        """Judge programs on all workers; verdicts in the order of the programs, a few programs ahead."""
        waiting: deque[Future[Verdict]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="verdicts") as pool:
            try:
                for program in programs:
                    waiting.append(pool.submit(self.verdict, program))
                    if len(waiting) > 4 * self.workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            except KeyboardInterrupt:
                self.close()
                raise
            finally:
                for future in waiting:
                    future.cancel()

    def _order(self) -> dict[str, Any]:
        return {"limits": asdict(self.limits), "mode": self.mode, "preload": self.preload}

    @contextmanager
    def _worker(self) -> Iterator[_Worker]:
        self._must_be_open()
        worker = self._idle.get()
        try:
            yield worker
        finally:
            self._idle.put(worker)

    def _judge(self, worker: _Worker, program: Program) -> dict[str, Any]:
        """One trial; a program that took the worker with it is tried once more in a fresh one."""
        try:
            return worker.judge(program)
        except wire.WireError:
            self._must_be_open()
            worker.restart(self.isolation)
        try:
            return worker.judge(program)
        except wire.WireError:
            self._must_be_open()
            worker.restart(self.isolation)
            reason = "the program took its sandbox down twice"
            return {"outcome": "crashed", "reason": reason, "cause": ""}

    def _must_be_open(self) -> None:
        if not self._all:
            raise SandboxError("the sandbox is not open; use it as `with Sandbox() as sandbox:`")

    def _may_be_load(self, cause: str) -> bool:
        """CPU time hardly depends on load: only published scores ask again after it; wall time does."""
        return cause == "load" or (cause == "cpu" and self.mode == "strict" and self.workers > 1)

    def _judge_alone(self, program: Program) -> dict[str, Any]:
        """One more trial while every other worker rests."""
        with self._alone:
            self._must_be_open()
            held = [self._idle.get() for _ in self._all]
            try:
                return self._judge(held[0], program)
            finally:
                for worker in held:
                    self._idle.put(worker)


class _Worker:
    """One warden process and the socket to it."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.start()

    def start(self) -> None:
        self.box = Scratch("sandbox")
        self.socket, theirs = socket.socketpair()
        command = [sys.executable, "-s", "-P", "-B", "-X", "utf8", "-c", START, json.dumps(_path())]
        with theirs:
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        wire.send(self.socket, {**self.order, "box": str(self.box.path)})

    def ready(self) -> list[str]:
        """The layers that hold; SandboxError with what the warden said if it did not start."""
        self.socket.settimeout(START_SECONDS)
        try:
            layers: list[str] = wire.receive(self.socket)[1]
        except wire.WireError:
            self.close()
            raise SandboxError(f"the sandbox did not start: {self.said or 'no word from it'}") from None
        self.socket.settimeout(None)
        return layers

    def judge(self, program: Program) -> dict[str, Any]:
        wire.send(self.socket, asdict(program))
        answer: dict[str, Any] = wire.receive(self.socket)
        return answer

    def restart(self, isolation: tuple[str, ...]) -> None:
        """A fresh warden; SandboxError where it holds fewer layers than were promised."""
        self.close()
        self.start()
        if lost := set(isolation) - set(self.ready()):
            raise SandboxError(f"the sandbox lost a layer while running: {', '.join(sorted(lost))}")

    said = ""

    def close(self) -> None:
        self.socket.close()
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        if self.process.stderr and not self.process.stderr.closed:
            lines = self.process.stderr.read().decode("utf-8", "replace").split("\n")
            self.said = next((line for line in reversed(lines) if line), "")
            self.process.stderr.close()
        self.process.wait()
        self.box.close()


def _path() -> list[str]:
    """Where a warden finds Python's own modules, installed packages and this one: never the current folder."""
    spec = importlib.util.find_spec("hornbook")
    own = str(Path(spec.origin).parents[1]) if spec and spec.origin else ""
    library = [entry for entry in sys.path if entry.startswith((sys.prefix, sys.base_prefix))]
    return list(dict.fromkeys([*library, own]))
