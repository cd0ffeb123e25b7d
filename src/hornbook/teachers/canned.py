"""A teacher that answers from a script: for tests, for docs, and for trying a recipe without a model."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from hornbook.core.errors import TeacherError
from hornbook.core.records import to_json
from hornbook.teachers.request import Answer, Ask, Failed

WORD = re.compile(r"\S+")
KEYS = {"match", "text", "texts", "logprobs", "failed", "detail"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a script: what it answers to, and the replies that the ask's hash chooses from."""

    match: re.Pattern[str]
    texts: Sequence[str]
    logprobs: Sequence[Mapping[str, float]]
    failed: str
    detail: str


class Canned:
    """Answers with the first line whose `match` (a regular expression) is found in the last message.

    A line holds `text` or a list `texts`, `logprobs` (a mapping or a list of them), or `failed` with a
    `detail`. Of several replies the hash of the ask chooses one, so the same ask is answered the same way
    and another seed may be answered differently. A word counts as a token.
    """

    grace_seconds = math.inf

    def __init__(self, model: str, script: Path, concurrency: int = 1) -> None:
        self.model = model
        self.concurrency = concurrency
        try:
            data = script.read_bytes()
        except OSError as error:
            raise TeacherError(
                f"{script} cannot be read ({error.strerror}); it is the script of {model}"
            ) from error
        self.revision = hashlib.sha256(data).hexdigest()
        self.lines = [
            _line(text, f"{script}:{number}")
            for number, text in enumerate(data.splitlines(), 1)
            if text.strip()
        ]

    async def answer(self, ask: Ask) -> Answer | Failed:
        """The scripted reply, or Failed("no_script") where no line matches."""
        last = ask.messages[-1][1] if ask.messages else ""
        line = next((line for line in self.lines if line.match.search(last)), None)
        if line is None:
            return Failed("no_script", f"no line of the script matches {last[:80]!r}")
        if line.failed:
            return Failed(line.failed, line.detail)
        draw = int.from_bytes(hashlib.sha256(to_json([ask.messages, ask.seed]).encode()).digest()[:8], "big")
        text = line.texts[draw % len(line.texts)]
        words = [*WORD.finditer(text)]
        truncated = len(words) > ask.max_answer_tokens
        return Answer(
            text=text[: words[ask.max_answer_tokens - 1].end()] if truncated else text,
            tokens_in=sum(len(content.split()) for _, content in ask.messages),
            tokens_out=min(len(words), ask.max_answer_tokens),
            logprobs=line.logprobs[draw % len(line.logprobs)],
            truncated=truncated,
        )

    def close(self) -> None:
        pass


def _line(text: bytes, where: str) -> Line:
    try:
        values: dict[str, Any] = orjson.loads(text)
        unknown = sorted(set(values) - KEYS)
        if unknown:
            raise ValueError(f"unknown key {unknown[0]}; known keys: {', '.join(sorted(KEYS))}")
        logprobs = values.get("logprobs", {})
        return Line(
            match=re.compile(values.get("match", "")),
            texts=values.get("texts") or [values.get("text", "")],
            logprobs=logprobs if isinstance(logprobs, list) else [logprobs],
            failed=values.get("failed", ""),
            detail=values.get("detail", ""),
        )
    except (ValueError, TypeError, AttributeError, re.error) as error:
        raise TeacherError(f"{where} is not a line of a script: {error}") from error
