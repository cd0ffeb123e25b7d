"""Where pages are written: a teacher that answers and, at the same time, a sandbox that runs what it wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from hornbook.core.tools import Tools
from hornbook.sandbox import Limits, Sandbox
from hornbook.teachers import Ask
from hornbook.teachers.asking import Asking
from hornbook.writing.page import Judged, Page, judge, page_from

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the teacher draws its words."""

    max_answer_tokens: int
    temperature: float
    top_p: float

    def ask(self, messages: tuple[tuple[str, str], ...], seed: int, schema: str = "") -> Ask:
        return Ask(messages, self.max_answer_tokens, self.temperature, self.top_p, seed, schema=schema)


class Desk:
    """Writes pages: several asks are in flight, and pages that have come are judged meanwhile."""

    def __init__(self, asking: Asking, sandbox: Sandbox, judges: ThreadPoolExecutor) -> None:
        self.asking = asking
        self._sandbox = sandbox
        self._judges = judges

    async def write(self, ask: Ask, source: str, meta: Mapping[str, Any]) -> Judged:
        """One page, asked for and judged."""
        page = page_from(await self.asking.answer(ask), source, meta)
        return Judged(page) if page.failed else await self._judged(page)

    async def _judged(self, page: Page) -> Judged:
        return await asyncio.get_running_loop().run_in_executor(self._judges, judge, page, self._sandbox)

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a piece of writing; its result waits in the future."""
        return self.asking.start(work)


@contextmanager
def open_desk(tools: Tools, page_cpu_seconds: float) -> Iterator[Desk]:
    """A desk with the stage's teacher and sandbox; both are closed at the end."""
    assert tools.teacher is not None
    assert tools.sandbox is not None
    limits = Limits(cpu_seconds=page_cpu_seconds)
    with tools.teacher() as teacher, tools.sandbox(mode="fast", limits=limits) as sandbox:
        judges = ThreadPoolExecutor(sandbox.workers, thread_name_prefix="judge")
        try:
            with Asking(teacher) as asking:
                yield Desk(asking, sandbox, judges)
        finally:
            judges.shutdown(cancel_futures=True)
