"""Reading JSON out of an answer: the usual breakages are mended and said, the rest is asked once more."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from hornbook.teachers.ask import Answer, Ask, Failed, Front, Teacher
from hornbook.teachers.lenient import Broken, read_lenient

FENCE = re.compile(r"```[a-zA-Z0-9]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
OPENERS = re.compile(r"[{\[]")
MAX_STARTS = 50
REASK = "That could not be used: {error}. Answer again with the corrected JSON alone."


@dataclass(frozen=True, slots=True)
class Parsed:
    """A value read from an answer, the raw text, and what was mended: prose, fences, quotes, commas, truncated, ..."""

    value: Any
    raw: str
    mended: tuple[str, ...] = ()


def parse_json_answer(text: str) -> Parsed | Failed:
    """The JSON in an answer; Failed with no_json or broken_json, whose detail ends with the raw text.

    An object or array is looked for as it stands, in code fences, then in prose: the longest, as a rule the one that
    was asked for. Where the text broke off inside one, it is closed there ("truncated" is then among what was mended).
    """
    try:
        return Parsed(orjson.loads(text), text)
    except ValueError:
        pass
    places = [(block[1], ("fences",)) for block in FENCE.finditer(text)] + [(text, ())]
    problem: Broken | None = None
    for truncated in (False, True):
        for place, mended in places:
            try:
                found = _find(place, text, mended, truncated)
            except Broken as error:
                problem = problem or error
                continue
            if found:
                return found
    if problem is None:
        return Failed("no_json", f"no JSON object or array in it: {text}")
    return Failed("broken_json", f"{problem}: {text}")


def _find(place: str, raw: str, mended: tuple[str, ...], truncated: bool) -> Parsed | None:
    """The longest object or array in `place`; None where there is none, Broken where one cannot be read."""
    found: list[tuple[int, Any, set[str]]] = []
    problem: Broken | None = None
    at = 0
    for _ in range(MAX_STARTS):
        start = OPENERS.search(place, at)
        if start is None:
            break
        try:
            value, at, notes = read_lenient(place, start.start(), truncated)
        except Broken as error:
            if error.meant:
                raise
            problem, at = problem or error, max(error.at, start.end())
            continue
        prose = place[: start.start()].strip() or place[at:].strip()
        found.append((at - start.start(), value, {*mended, *notes, *(("prose",) if prose else ())}))
    if not found and problem:
        raise problem
    if not found:
        return None
    _, value, notes = max(found, key=lambda one: one[0])
    return Parsed(value, raw, tuple(sorted(notes)))


Check = Callable[[Any], Any]


def read_json(text: str, check: Check = lambda value: value) -> Parsed | Failed:
    """The JSON in an answer as `check` makes it, which raises ValueError saying what is wrong: reason "wrong_json"."""
    parsed = parse_json_answer(text)
    if isinstance(parsed, Failed):
        return parsed
    try:
        return replace(parsed, value=check(parsed.value))
    except ValueError as error:
        return Failed("wrong_json", f"{error}: {text}")


class Reasking(Front):
    """A teacher whose JSON can be used: what cannot is asked for once more, with the error, and given up after that.

    The answer that comes back is the raw one, which `read_json` reads; a failure's detail ends with the raw text.
    """

    def __init__(self, teacher: Teacher, check: Check = lambda value: value) -> None:
        super().__init__(teacher)
        self.check = check

    async def answer(self, ask: Ask) -> Answer | Failed:
        """The first of two answers that can be used."""
        first = await self.teacher.answer(ask)
        problem = first if isinstance(first, Failed) else self._problem(first)
        if isinstance(first, Failed) or problem is None:
            return first
        error = problem.detail.removesuffix(first.text).rstrip(": ")
        again = (*ask.messages, ("assistant", first.text), ("user", REASK.format(error=error)))
        second = await self.teacher.answer(replace(ask, messages=again))
        problem = second if isinstance(second, Failed) else self._problem(second)
        return replace(problem, tries=2) if problem else second

    def _problem(self, answer: Answer) -> Failed | None:
        read = read_json(answer.text, self.check)
        return read if isinstance(read, Failed) else None


async def ask_parsed(teacher: Teacher, ask: Ask, check: Check = lambda value: value) -> Parsed | Failed:
    """The JSON of the first of two answers that can be used."""
    answer = await Reasking(teacher, check).answer(ask)
    return answer if isinstance(answer, Failed) else read_json(answer.text, check)
