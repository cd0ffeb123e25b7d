"""Asking: work of several asks each, no more in flight than the teacher takes, and nothing paid for is thrown away."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from hornbook.teachers import Answer, Ask
from hornbook.teachers.pool import Asking


class Counting:
    """Answers with the ask's own words, and remembers how many were under way at once."""

    model, revision, concurrency, grace_seconds = "counting", "1", 3, 30.0

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds = seconds
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.most = 0
        self.started = threading.Event()

    async def answer(self, ask: Ask) -> Answer:
        text = ask.messages[0][1]
        self.begun.append(text)
        self.most = max(self.most, len(self.begun) - len(self.ended))
        self.started.set()
        await asyncio.sleep(self.seconds)
        self.ended.append(text)
        return Answer(text)

    def close(self) -> None:
        raise AssertionError("the teacher is not Asking's to close")


def ask(text: str) -> Ask:
    return Ask((("user", text),))


async def conversation(asking: Asking, name: str) -> str:
    """Two asks, the second with the answer to the first."""
    first = await asking.answer(ask(name))
    second = await asking.answer(ask(f"{first.text} again"))  # type: ignore[union-attr]
    return second.text  # type: ignore[union-attr]


def test_many_conversations_share_the_teachers_slots_and_first_come_goes_first() -> None:
    teacher = Counting()
    with Asking(teacher) as asking:
        results = [asking.start(conversation(asking, f"{n}")) for n in range(10)]
        assert [result.result() for result in results] == [f"{n} again" for n in range(10)]
    assert teacher.most == 3
    firsts = [text for text in teacher.begun if "again" not in text]
    assert firsts == [f"{n}" for n in range(10)]


def test_at_the_end_answers_under_way_are_waited_for_and_nothing_new_is_asked() -> None:
    teacher = Counting(0.3)
    with Asking(teacher) as asking:
        results = [asking.start(conversation(asking, f"{n}")) for n in range(9)]
        assert teacher.started.wait(10)
    assert sorted(teacher.ended) == sorted(teacher.begun)
    assert "0" in teacher.ended
    assert set(teacher.begun) <= {"0", "1", "2"}
    for result in results:
        with pytest.raises(CancelledError):
            result.result(1)


def test_a_teacher_without_grace_is_not_waited_for() -> None:
    teacher = Counting(60)
    teacher.grace_seconds = 0.0
    with Asking(teacher) as asking:
        asking.start(conversation(asking, "slow"))
        assert teacher.started.wait(10)
    assert teacher.ended == []


def test_an_error_of_the_teacher_reaches_who_waits() -> None:
    class Broken(Counting):
        async def answer(self, ask: Ask) -> Answer:
            raise RuntimeError("out of paper")

    with Asking(Broken()) as asking, pytest.raises(RuntimeError, match="out of paper"):
        asking.start(conversation(asking, "a")).result()
