"""Longer books: the teacher outlines a book, then each chapter, then writes its pages, each knowing the one before."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hornbook.core.records import to_json
from hornbook.stages.textbooks.curriculum import Curriculum, Trait
from hornbook.stages.textbooks.writer import Desk, Judged, Page, Sampling
from hornbook.teachers import Ask, Failed, Prompt
from hornbook.teachers.parsing import ask_parsed

Keys = tuple[str, str]
CHAPTERS: Keys = ("chapters", "goal")
PAGES: Keys = ("pages", "point")
FIRST = "Nothing: this is the first page of the chapter."
STAND_IN = "Words that stand in for others in a line of about eighty characters, as in a title"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a book is about: a chapter of the curriculum, for one audience, in one style."""

    area: str
    chapter: str
    topics: tuple[str, ...]
    audience: Trait
    style: Trait


@dataclass(frozen=True, slots=True)
class Plan:
    """How long books are, how they are asked for, and how much of the page before a page is told."""

    chapters: int
    pages: int
    context_chars: int
    prompts: Mapping[str, Prompt]
    """outline, chapter and page."""
    sampling: Sampling
    outlining: Sampling


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of an outline: a title and what is behind it."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Outline:
    """What a book or a chapter is called, and its parts."""

    title: str
    entries: tuple[Entry, ...]


def subjects(curriculum: Curriculum, count: int, seed: int) -> list[Subject]:
    """The subjects of `count` books: every chapter of the curriculum once before one comes again."""
    chapters = [(area, chapter, topics) for (area, chapter), topics in curriculum.chapters.items()]
    found: list[Subject] = []
    for turn in range(-(-count // len(chapters))):
        order = random.Random(f"{seed}:books:{turn}").sample(chapters, len(chapters))
        for area, chapter, topics in order[: count - len(found)]:
            chance = random.Random(f"{seed}:book:{len(found)}")
            traits = chance.choice(curriculum.audiences), chance.choice(curriculum.styles)
            found.append(Subject(area, chapter, topics, *traits))
    return found


@dataclass(frozen=True, slots=True)
class Book:
    """One book: what is asked for it, and what its pages are called."""

    plan: Plan
    subject: Subject
    number: int
    seed: int

    async def write(self, desk: Desk) -> list[Judged]:
        """Its pages in order; where an outline cannot be had, that failure stands for what it would have held."""
        outline = await self._outlined(desk, self.outline_ask(), (CHAPTERS, self.plan.chapters))
        if isinstance(outline, Failed):
            return [self._failure("outline", outline)]
        values = _told(outline)
        written = await asyncio.gather(
            *(self._chapter(desk, n, entry, values) for n, entry in enumerate(outline.entries, 1))
        )
        return [judged for pages in written for judged in pages]

    async def _chapter(
        self, desk: Desk, number: int, entry: Entry, values: Mapping[str, str]
    ) -> list[Judged]:
        """Outline a chapter, then write its pages one after another."""
        values = {**values, "chapter": entry.title, "goal": entry.text, "number": str(number)}
        outline = await self._outlined(desk, self.chapter_ask(number, values), (PAGES, self.plan.pages))
        if isinstance(outline, Failed):
            return [self._failure(f"{number}", outline)]
        written: list[Judged] = []
        before = FIRST
        for page_number, page in enumerate(outline.entries, 1):
            told = {**values, "page": page.title, "point": page.text, "before": before}
            place = (number, page_number)
            where = {"book": values["book"], "book_chapter": entry.title, "book_place": list(place)}
            source = self._source(f"{number}/{page_number}")
            written.append(
                await desk.write(self.page_ask(place, told), source, self._meta(page.title, where))
            )
            end = written[-1].page.text[-self.plan.context_chars :] if self.plan.context_chars else ""
            before = end or before
        return written

    async def _outlined(self, desk: Desk, ask: Ask, wanted: tuple[Keys, int]) -> Outline | Failed:
        keys, count = wanted
        parsed = await ask_parsed(desk.asking, ask, lambda value: _outline(value, keys, count))
        return parsed if isinstance(parsed, Failed) else parsed.value

    def outline_ask(self) -> Ask:
        messages = self.plan.prompts["outline"].fill(**self._values(), count=str(self.plan.chapters))
        return self.plan.outlining.ask(messages, self._seed("outline"), _schema(CHAPTERS))

    def chapter_ask(self, number: int, values: Mapping[str, str]) -> Ask:
        filled = {**self._values(), **values, "count": str(self.plan.pages)}
        messages = self.plan.prompts["chapter"].fill(**filled)
        return self.plan.outlining.ask(messages, self._seed(f"chapter:{number}"), _schema(PAGES))

    def page_ask(self, place: tuple[int, int], values: Mapping[str, str]) -> Ask:
        filled = {**self._values(), **values, "count": str(self.plan.pages)}
        messages = self.plan.prompts["page"].fill(**filled)
        return self.plan.sampling.ask(messages, self._seed(f"page:{place[0]}:{place[1]}"))

    def stand_ins(self) -> list[Ask]:
        """Asks as long as those for the book may be; the first is the very one."""
        plan = self.plan
        values = _told(Outline(STAND_IN, (Entry(STAND_IN, STAND_IN),) * plan.chapters))
        values |= dict.fromkeys(("chapter", "goal", "page", "point"), STAND_IN)
        values["before"] = ("x = 1 # " * (1 + plan.context_chars // 8))[: plan.context_chars]
        found = [self.outline_ask()]
        for chapter in range(1, plan.chapters + 1):
            values["number"] = str(chapter)
            found.append(self.chapter_ask(chapter, values))
            found += [self.page_ask((chapter, page), values) for page in range(1, plan.pages + 1)]
        return found

    def _failure(self, place: str, failed: Failed) -> Judged:
        return Judged(Page(self._source(place), self._meta("", {}), failed=failed))

    def _source(self, place: str) -> str:
        return f"textbooks/books/{self.number}/{place}"

    def _seed(self, place: str) -> int:
        return random.Random(f"{self.seed}:book:{self.number}:{place}").getrandbits(32)

    def _values(self) -> dict[str, str]:
        subject = self.subject
        return {
            "subject": subject.chapter,
            "topics": "; ".join(subject.topics),
            "audience": subject.audience.text,
            "style": subject.style.text,
        }

    def _meta(self, topic: str, where: Mapping[str, Any]) -> dict[str, Any]:
        subject = self.subject
        traits = {"audience": subject.audience.name, "style": subject.style.name}
        return {"area": subject.area, "chapter": subject.chapter, "topic": topic, **traits, **where}


def _told(outline: Outline) -> dict[str, str]:
    """A book's title and outline as later prompts tell them."""
    lines = (f"{n}. {entry.title}: {entry.text}" for n, entry in enumerate(outline.entries, 1))
    return {"book": outline.title, "outline": "\n".join(lines)}


def _schema(keys: Keys) -> str:
    """The JSON schema of {"title", items: [{"title", text}]}."""
    items, text = keys
    entry = _object({"title": {"type": "string"}, text: {"type": "string"}})
    return to_json(_object({"title": {"type": "string"}, items: {"type": "array", "items": entry}}))


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _outline(value: Any, keys: Keys, count: int) -> Outline:
    """The title and at most `count` entries; ValueError says what is missing."""
    items, text = keys
    found = value.get(items) if isinstance(value, dict) else None
    if not isinstance(found, list) or not found:
        raise ValueError(f'the answer must be an object with "title" and a list "{items}"')
    if not all(isinstance(entry, dict) and str(entry.get("title") or "").strip() for entry in found[:count]):
        raise ValueError(f'every entry of "{items}" must be an object with "title" and "{text}"')
    entries = (Entry(str(e["title"]).strip(), str(e.get(text) or "").strip()) for e in found[:count])
    return Outline(str(value.get("title") or "").strip(), tuple(entries))
