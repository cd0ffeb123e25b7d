"""What is asked of a teacher and what comes back; a failure is a value with a cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Ask:
    """One question; two equal asks to the same model deserve the same answer.

    `messages` are (role, content) pairs. With `choices`, the answer carries the log-probability of each
    choice as its first token. `schema` is the text of a JSON schema that the answer must follow.
    """

    messages: tuple[tuple[str, str], ...]
    max_answer_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    choices: tuple[str, ...] = ()
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the teacher said; `truncated` where it stopped at max_answer_tokens instead of at its end.

    `logprobs` holds natural logarithms; a choice that was not among the likeliest tokens is left out.
    """

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    logprobs: Mapping[str, float] = field(default_factory=dict)
    truncated: bool = False
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer: a stable reason code to count by, the detail for a person, and how often it was tried."""

    reason: str
    detail: str = ""
    tries: int = 1


class Teacher(Protocol):
    """Answers asks; `revision` changes whenever the same ask may be answered differently.

    When asking is broken off, answers under way are waited for `grace_seconds` longer: they may be paid for.
    """

    @property
    def model(self) -> str: ...

    @property
    def revision(self) -> str: ...

    @property
    def concurrency(self) -> int: ...

    @property
    def grace_seconds(self) -> float: ...

    async def answer(self, ask: Ask) -> Answer | Failed: ...

    def close(self) -> None: ...


class Front:
    """A teacher that stands in front of another one."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    @property
    def model(self) -> str:
        return self.teacher.model

    @property
    def revision(self) -> str:
        return self.teacher.revision

    @property
    def concurrency(self) -> int:
        return self.teacher.concurrency

    @property
    def grace_seconds(self) -> float:
        return self.teacher.grace_seconds

    def close(self) -> None:
        self.teacher.close()
