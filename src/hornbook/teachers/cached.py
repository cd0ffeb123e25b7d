"""No answer is paid for twice: a teacher behind the answers that are on disk."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from hornbook.teachers.answers import Answers, Question, question
from hornbook.teachers.ask import Answer, Ask, Failed, Front, Teacher


class Cached(Front):
    """Another teacher behind its answers so far; failures are never kept.

    An answer is on disk before it is used, so a killed run pays for nothing again. Equal asks that are
    under way at the same time are asked once. With a `step`, what is answered is noted as used by it.
    """

    def __init__(self, teacher: Teacher, answers: Answers, step: str = "") -> None:
        super().__init__(teacher)
        self.answers = answers
        self.step = step
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def answer(self, ask: Ask) -> Answer | Failed:
        """The answer on disk, or else the teacher's, which is on disk when this returns."""
        asked = question(self.model, self.revision, ask)
        answer = self.answers.find(asked.key) or await self._answer(asked, ask)
        if self.step and isinstance(answer, Answer):
            self.answers.use(self.step, asked.key)
        return answer

    async def _answer(self, asked: Question, ask: Ask) -> Answer | Failed:
        async with self._locks.setdefault(asked.key, asyncio.Lock()):
            found = self.answers.find(asked.key)  # another one asked meanwhile
            if found is not None:
                return found
            answer = await self.teacher.answer(ask)
            return self.answers.keep(asked, answer) if isinstance(answer, Answer) else answer

    def close(self) -> None:
        self.answers.close()
        super().close()
