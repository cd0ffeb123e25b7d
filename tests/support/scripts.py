"""Teachers that the tests of this folder share."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson

from hornbook.teachers import Answer, Answers, Ask, Cached, Failed, Teacher, answer_all


def script(path: Path, *lines: dict[str, object]) -> Path:
    """A script for the canned teacher."""
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return path


def ask(text: str, **settings: object) -> Ask:
    return Ask((("user", text),), **settings)  # type: ignore[arg-type]


class Slow:
    """Answers with the last word of the question after a moment, notes every ask in a file; "bad" fails."""

    model = "slow"
    revision = "1"
    concurrency = 4
    grace_seconds = 10.0

    def __init__(self, log: Path, seconds: float = 0.0) -> None:
        self.log = log
        self.seconds = seconds
        self.in_flight = self.most_in_flight = 0

    async def answer(self, ask: Ask) -> Answer | Failed:
        text = ask.messages[-1][1]
        with self.log.open("a") as file:
            file.write(f"{text}\n")
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(self.seconds)
        self.in_flight -= 1
        return Failed("refused", "said no") if "bad" in text else Answer(text.split()[-1])

    def close(self) -> None:
        pass

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


def cached(teacher: Teacher, folder: Path, step: str = "") -> Cached:
    """A teacher behind the answers in `folder`."""
    return Cached(teacher, Answers(folder / "answers.sqlite"), step)


def ask_many(folder: str, seconds: float, name: str) -> None:
    """Two hundred asks through the cache in `folder`, noted in the file `name`; run in a process of its own."""
    teacher = cached(Slow(Path(folder) / name, seconds), Path(folder))
    for _ in answer_all(teacher, [ask(f"word {n}") for n in range(200)]):
        pass
