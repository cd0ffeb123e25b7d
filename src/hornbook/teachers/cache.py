"""The answers paid for: an SQLite file that holds each under all that can change it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import orjson

from hornbook.core.database import Database
from hornbook.core.errors import InputError
from hornbook.core.records import to_json
from hornbook.core.shards import replacing
from hornbook.teachers.request import Answer, Ask, Failed, Front, Teacher

TABLES = """
create table if not exists answers (
    key blob not null unique, model text not null, revision text not null, ask text not null, answer text not null
);
create table if not exists used (step text not null, key blob not null, primary key (step, key)) without rowid;
"""
TOKENS = ", ".join(
    f"coalesce(sum(json_extract(answer, '$.{name}')), 0)" for name in ("tokens_in", "tokens_out")
)
USED_AT_ONCE = 1000
LINES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Question:
    """An ask to a model in the form that the file holds, and the key that stands for all of it."""

    model: str
    revision: str
    asked: str
    key: bytes


def question(model: str, revision: str, ask: Ask) -> Question:
    """What is asked of whom: the same question deserves the same answer."""
    asked = to_json(_ask_fields(ask))
    key = hashlib.sha256("\0".join((model, revision, asked)).encode()).digest()
    return Question(model, revision, asked, key)


def _ask_fields(ask: Ask) -> dict[str, Any]:
    """An ask as keys and exported files hold it. These names are part of every key: they never change."""
    return {
        "messages": ask.messages,
        "max_answer_tokens": ask.max_answer_tokens,
        "temperature": ask.temperature,
        "top_p": ask.top_p,
        "seed": ask.seed,
        "choices": ask.choices,
        "schema": ask.schema,
    }


def _answer_fields(answer: Answer) -> dict[str, Any]:
    """An answer as the database and exported files hold it; the names never change."""
    return {
        "text": answer.text,
        "tokens_in": answer.tokens_in,
        "tokens_out": answer.tokens_out,
        "logprobs": answer.logprobs,
        "truncated": answer.truncated,
        "cached": answer.cached,
    }


@dataclass(frozen=True, slots=True)
class Usage:
    """Answers and the tokens that they took."""

    answers: int
    tokens_in: int
    tokens_out: int


class Answers:
    """Every answer so far; several processes may share the file, and an answer once kept never changes."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, "the cache of answers", TABLES)
        self._used: set[tuple[str, bytes]] = set()

    def find(self, key: bytes) -> Answer | None:
        """The answer under this key, marked as cached."""
        with self._database as db:
            row = db.execute("select answer from answers where key = ?", (key,)).fetchone()
        return None if row is None else _read_answer({**orjson.loads(row[0]), "cached": True})

    def keep(self, asked: Question, answer: Answer) -> Answer:
        """Write the answer; where another process was first, its answer holds for both."""
        row = (asked.key, asked.model, asked.revision, asked.asked, to_json(_answer_fields(answer)))
        with self._database as db:
            written = db.execute("insert or ignore into answers values (?, ?, ?, ?, ?)", row).rowcount
        return answer if written else self.find(asked.key) or answer

    def use(self, step: str, key: bytes) -> None:
        """Note that a step was given this answer; on disk a little later."""
        self._used.add((step, key))
        if len(self._used) >= USED_AT_ONCE:
            self._write_used()

    def _write_used(self) -> None:
        rows, self._used = self._used, set()
        with self._database.whole() as db:
            db.executemany("insert or ignore into used values (?, ?)", rows)

    def given(self, step: str) -> int:
        """How many answers a step was given; quick where there are a million, whose tokens `used_by` adds up."""
        with self._database as db:
            (count,) = db.execute("select count(*) from used where step = ?", (step,)).fetchone()
        return int(count)

    def used_by(self, step: str) -> Usage:
        """What the answers that a step was given took, whoever paid for them."""
        query = f"select count(*), {TOKENS} from used join answers using (key) where step = ?"
        with self._database as db:
            return Usage(*db.execute(query, (step,)).fetchone())

    def by_model(self) -> list[tuple[str, str, Usage]]:
        """(model, revision, its answers) for each model that ever answered."""
        query = f"select model, revision, count(*), {TOKENS} from answers group by 1, 2 order by 1, 2"
        with self._database as db:
            rows = db.execute(query).fetchall()
        return [(model, revision, Usage(*tokens)) for model, revision, *tokens in rows]

    def export(self, path: Path) -> int:
        """Write every answer as a line of JSON, in the order of their keys; returns how many."""
        count = 0
        with replacing(path) as file:
            for model, revision, ask, answer in self._in_order():
                texts = {"ask": orjson.Fragment(ask), "answer": orjson.Fragment(answer)}
                file.write(orjson.dumps({"model": model, "revision": revision, **texts}) + b"\n")
                count += 1
        return count

    def _in_order(self) -> Iterator[tuple[str, str, str, str]]:
        query = "select key, model, revision, ask, answer from answers where key > ? order by key limit ?"
        last = b""
        while True:
            with self._database as db:
                rows = db.execute(query, (last, LINES_AT_ONCE)).fetchall()
            if not rows:
                return
            yield from (row[1:] for row in rows)
            last = rows[-1][0]

    def take_in(self, path: Path) -> tuple[int, int]:
        """Keep the answers of an exported file; returns how many there were, and how many of them were new.

        InputError names the first line that is none; then nothing is kept.
        """
        read = new = 0
        rows = _rows(path)
        with self._database.whole() as db:
            while part := list(islice(rows, LINES_AT_ONCE)):
                read += len(part)
                new += db.executemany("insert or ignore into answers values (?, ?, ?, ?, ?)", part).rowcount
        return read, new

    def close(self) -> None:
        if self._used:
            self._write_used()
        self._database.close()


def _rows(path: Path) -> Iterator[tuple[bytes, str, str, str, str]]:
    try:
        with path.open("rb") as file:
            yield from _rows_of(file, path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); it should be an exported file"
        ) from error


def _rows_of(lines: Iterable[bytes], path: Path) -> Iterator[tuple[bytes, str, str, str, str]]:
    for number, text in enumerate(lines, 1):
        try:
            asked, answer = _read(orjson.loads(text))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise InputError(
                f"{path}:{number} is not an exported answer ({error}); nothing was taken in"
            ) from error
        yield asked.key, asked.model, asked.revision, asked.asked, to_json(_answer_fields(answer))


def _read(line: dict[str, Any]) -> tuple[Question, Answer]:
    ask, answer = _read_ask(line["ask"]), _read_answer(line["answer"])
    if not isinstance(answer.text, str) or not isinstance(line["model"], str):
        raise ValueError("its model or text is no string")
    return question(line["model"], line.get("revision", ""), ask), answer


def _read_ask(fields: Mapping[str, Any]) -> Ask:
    """The ask of its stored fields; a field that is missing has its default, an unknown one is a ValueError."""
    found = _with_defaults(fields, _ask_fields(Ask(())))
    return Ask(
        messages=tuple((str(role), str(content)) for role, content in fields["messages"]),
        max_answer_tokens=found["max_answer_tokens"],
        temperature=found["temperature"],
        top_p=found["top_p"],
        seed=found["seed"],
        choices=tuple(map(str, found["choices"])),
        schema=found["schema"],
    )


def _read_answer(fields: Mapping[str, Any]) -> Answer:
    """The answer of its stored fields, with the same rules."""
    found = _with_defaults(fields, _answer_fields(Answer("")))
    return Answer(
        text=fields["text"],
        tokens_in=found["tokens_in"],
        tokens_out=found["tokens_out"],
        logprobs=found["logprobs"],
        truncated=found["truncated"],
        cached=found["cached"],
    )


def _with_defaults(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := fields.keys() - defaults.keys():
        raise ValueError(f"unknown field {min(unknown)}")
    return {**defaults, **fields}


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
