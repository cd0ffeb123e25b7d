"""Progress with ETA: bars on a terminal, a line now and then in a log, nothing in a test."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Protocol

NARROW = 100
"""Columns of a terminal below which the bar itself is left out: the numbers say more."""


EARLY_ADVANCES = 3
EARLY_SECONDS = 10.0
LEAST_SECONDS = 2.0


def seconds_left(elapsed: float, done: float, left: float, advances: int) -> float | None:
    """What is left at the mean rate so far; None while that rests on too little.

    The first pieces may be far from usual (a compiler runs, a cache answers): two seconds must have passed and three
    pieces be done, or one in ten seconds. The time since the last piece counts: the answer grows where work stands.
    """
    is_early = elapsed < LEAST_SECONDS or (advances < EARLY_ADVANCES and elapsed < EARLY_SECONDS)
    if done <= 0 or is_early:
        return None
    return elapsed * left / done


class Bar(Protocol):
    """One piece of work; `advance` says how much more is done, `note` shows a short fact beside it."""

    def advance(self, amount: float = 1) -> None: ...

    def note(self, text: str) -> None: ...


class Progress(Protocol):
    """Opens bars; `say` prints one line above them."""

    def bar(
        self, label: str, total: float | None = None, unit: str = "", done: float = 0
    ) -> AbstractContextManager[Bar]:
        """A bar that begins at `done`, the work of a run before this one; it does not count for the ETA."""
        ...

    def say(self, text: str) -> None: ...


class _NoBar:
    def advance(self, amount: float = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Silent:
    """Shows nothing."""

    @contextmanager
    def bar(self, label: str, total: float | None = None, unit: str = "", done: float = 0) -> Iterator[Bar]:
        yield _NoBar()

    def say(self, text: str) -> None:
        pass


class Terminal:
    """Bars on standard error, with rich."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)

    @contextmanager
    def bar(self, label: str, total: float | None = None, unit: str = "", done: float = 0) -> Iterator[Bar]:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            ProgressColumn,
            Task,
            TextColumn,
            TimeElapsedColumn,
        )
        from rich.progress import Progress as RichProgress
        from rich.table import Column
        from rich.text import Text

        class _Left(ProgressColumn):
            def render(self, task: Task) -> Text:
                known = (task.elapsed or 0.0, task.completed - done, task.remaining or 0.0)
                left = seconds_left(*known, advances)
                return Text("-:--:--" if left is None else str(timedelta(seconds=round(left))))

        advances = 0
        narrow = self.console.width < NARROW
        columns = (
            TextColumn("  {task.description}" if narrow else "  {task.description:<24}", markup=False),
            *(() if narrow else (BarColumn(24),)),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("eta"),
            _Left(),
            TextColumn(
                "{task.fields[note]}", style="dim", markup=False, table_column=Column(ratio=1, no_wrap=True)
            ),
        )
        with RichProgress(*columns, console=self.console, transient=True, expand=True) as progress:
            task = progress.add_task(label, total=total, completed=int(done), unit=unit, note="")

            class _Bar:
                def advance(self, amount: float = 1) -> None:
                    nonlocal advances
                    advances += 1
                    progress.advance(task, amount)

                def note(self, text: str) -> None:
                    progress.update(task, note=text)

            yield _Bar()

    def say(self, text: str) -> None:
        self.console.print(harmless(text), markup=False, highlight=False)  # [/INST] of a server is no style


class Lines:
    """A line every `seconds` on standard error, for logs and pipes."""

    def __init__(self, seconds: float = 10.0) -> None:
        self.seconds = seconds

    @contextmanager
    def bar(self, label: str, total: float | None = None, unit: str = "", done: float = 0) -> Iterator[Bar]:
        yield _LineBar((label, total, unit), done, self.seconds)

    def say(self, text: str) -> None:
        print(harmless(text), file=sys.stderr, flush=True)


class _LineBar:
    def __init__(self, what: tuple[str, float | None, str], done: float, seconds: float) -> None:
        self.label, self.total, self.unit = what
        self.seconds = seconds
        self.done = self.before = done
        self.text = ""
        self.advances = 0
        self.begun = self.shown = time.monotonic()

    def advance(self, amount: float = 1) -> None:
        self.done += amount
        self.advances += 1
        now = time.monotonic()
        if now - self.shown >= self.seconds:
            self.shown = now
            print(self._line(now), file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        self.text = text

    def _line(self, now: float) -> str:
        elapsed = now - self.begun
        line = f"  {self.label}: {self.done:,.0f}"
        if self.total:
            left = seconds_left(elapsed, self.done - self.before, self.total - self.done, self.advances)
            line += f"/{self.total:,.0f} {self.unit}, {elapsed:.0f}s"
            line += "" if left is None else f", eta {left:.0f}s"
        return f"{line} {self.text}".rstrip()


def open_progress(wanted: bool = True) -> Progress:
    """Bars where standard error is a terminal, lines where it is not, nothing when unwanted."""
    if not wanted:
        return Silent()
    return Terminal() if sys.stderr.isatty() else Lines()


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What could move a terminal's cursor, or reorder what it shows."""


def harmless(text: str) -> str:
    """A text whose control characters are shown, not sent."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)
