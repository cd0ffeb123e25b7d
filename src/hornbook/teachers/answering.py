"""Opening the teacher a recipe names, and asking it many things at once."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hornbook.core.config import TeacherPlace
from hornbook.core.errors import StageError, TeacherError
from hornbook.core.progress import Progress
from hornbook.teachers import embedded
from hornbook.teachers.ask import Answer, Ask, Failed, Teacher
from hornbook.teachers.cached import Cached
from hornbook.teachers.canned import Canned
from hornbook.teachers.local import LocalModel, file_revision

Opener = Callable[[str, TeacherPlace, Progress, Path], Teacher]


def _open_local(model: str, place: TeacherPlace, progress: Progress, models: Path) -> Teacher:
    if place.path:
        path = Path(place.path).expanduser()
        return LocalModel(model, file_revision(path), lambda: path, place.concurrency)
    if model != embedded.MODEL:
        raise TeacherError(
            f"nothing says where the teacher {model!r} answers; set "
            f'[teachers."{model}"] path = "<a GGUF file>" in the machine file, or name {embedded.MODEL!r} in the recipe'
        )
    find = lambda: embedded.embedded_file(models, progress)  # noqa: E731
    return LocalModel(model, embedded.WHEEL_SHA256, find, place.concurrency)


def _open_canned(model: str, place: TeacherPlace, progress: Progress, models: Path) -> Teacher:
    return Canned(model, Path(place.path).expanduser())


TEACHERS: dict[str, Opener] = {"local": _open_local, "canned": _open_canned}


@contextmanager
def open_teacher(
    model: str, place: TeacherPlace, cache: Path, progress: Progress, models: Path | None = None
) -> Iterator[Teacher]:
    """The teacher of that name, behind the answers in `cache`/answers.sqlite.

    `models` is the folder of fetched models (default: the user's cache). TeacherError where the teacher
    cannot be had; a local model is loaded on the first ask that the cache cannot answer.
    """
    teacher = TEACHERS[place.kind](model, place, progress, models or embedded.model_folder())
    cached = Cached(teacher, cache / "answers.sqlite")
    try:
        yield cached
    finally:
        cached.close()


def answer_all(
    teacher: Teacher,
    asks: Sequence[Ask],
    concurrency: int | None = None,
    on_done: Callable[[Answer | Failed], None] | None = None,
) -> Iterator[Answer | Failed]:
    """The answers in the order of the asks, `concurrency` of them in flight (default: the teacher's own).

    The asking goes on in a thread of its own while the caller works on what it was given; `on_done` is
    called in the caller's thread as each answer arrives, in any order. Closing the iterator stops asking.
    """
    arrived: queue.SimpleQueue[tuple[int, Answer | Failed | BaseException]] = queue.SimpleQueue()
    stop = threading.Event()
    asking = threading.Thread(
        target=_ask_all, args=(teacher, asks, concurrency or teacher.concurrency, arrived, stop), daemon=True
    )
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
        stop.set()
        asking.join()


def _ask_all(
    teacher: Teacher,
    asks: Sequence[Ask],
    concurrency: int,
    arrived: queue.SimpleQueue[tuple[int, Answer | Failed | BaseException]],
    stop: threading.Event,
) -> None:
    numbers = iter(range(len(asks)))

    async def keep_asking() -> None:
        for number in numbers:
            if stop.is_set():
                return
            arrived.put((number, await teacher.answer(asks[number])))

    async def everything() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(asks))):
                group.create_task(keep_asking())

    try:
        asyncio.run(everything())
    except BaseException as error:  # raised again where the answers are read
        arrived.put((-1, error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error))


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
                f"{failed.detail or failed.reason}); mend the teacher or raise {self.stage}.max_failed_share "
                "(answers so far are kept)"
            )
