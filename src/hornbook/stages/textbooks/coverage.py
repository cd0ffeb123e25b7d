"""Which cells of the curriculum pages are asked for: uncovered ones first, and none that yields nothing new."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence

from hornbook.stages.textbooks.curriculum import Cell, Curriculum, Topic, Trait

Place = tuple[str, str, str]
"""Names of topic, audience and style."""


def place_of(cell: Cell) -> Place:
    return cell.topic.name, cell.audience.name, cell.style.name


class Coverage:
    """Plans pages round by round from what the pages of earlier rounds yielded; the same history, the same plan.

    Topics without a kept page come first, then those asked for least; for a topic the audience and then the style
    that were least together. A cell is left after `stop_after` pages in a row that yielded nothing new, a topic
    after as many in a row over all its cells.
    """

    def __init__(self, curriculum: Curriculum, seed: int, stop_after: int) -> None:
        self.curriculum = curriculum
        self._seed = seed
        self._stop_after = stop_after
        self.asked: Counter[tuple[str, ...]] = Counter()
        """Pages planned, under every name and combination of names that the choice looks at."""
        self.kept: Counter[str] = Counter()
        """Pages that yielded something new, by topic."""
        self._told: Counter[str] = Counter()
        self._barren: Counter[tuple[str, ...]] = Counter()

    @property
    def left(self) -> list[str]:
        """The topics that are asked for no more."""
        return [topic.name for topic in self.curriculum.topics if self._is_left(topic)]

    def plan(self, numbers: Sequence[int]) -> list[Cell]:
        """The cells of the pages with these numbers; fewer where every topic is left."""
        topics = self._topics(numbers[0] if numbers else 0)
        return [cell for number in numbers for cell in [self._cell(next(topics, None), number)] if cell]

    def learn(self, cells: Sequence[Cell], yielded: Sequence[bool]) -> None:
        """What became of planned pages, in the order of the plan."""
        for cell, is_new in zip(cells, yielded, strict=True):
            place = place_of(cell)
            self._told[place[0]] += 1
            self.kept[place[0]] += is_new
            for key in (place, place[:1]):
                self._barren[key] = 0 if is_new else self._barren[key] + 1

    def _topics(self, first: int) -> Iterator[Topic]:
        """The topics still open, the most wanted first, again and again with what was planned since."""
        turn = 0
        while open_ := [topic for topic in self.curriculum.topics if not self._is_left(topic)]:
            yield from sorted(open_, key=lambda topic: self._want(topic, f"{first}:{turn}"))
            turn += 1

    def _want(self, topic: Topic, turn: str) -> tuple[bool, int, bytes]:
        asked = self.asked[(topic.name,)]
        is_covered = self.kept[topic.name] > 0 or asked > self._told[topic.name]
        return is_covered, asked, self._rank(turn, topic.name)

    def _is_left(self, topic: Topic) -> bool:
        if self._barren[(topic.name,)] >= self._stop_after:
            return True
        cells = len(self.curriculum.audiences) * len(self.curriculum.styles)
        return cells <= self._told[topic.name] and not any(
            self._open(topic, a) for a in self.curriculum.audiences
        )

    def _open(self, topic: Topic, audience: Trait) -> list[Trait]:
        """The styles in which this topic is not yet exhausted for this audience."""
        return [
            style
            for style in self.curriculum.styles
            if self._barren[topic.name, audience.name, style.name] < self._stop_after
        ]

    def _cell(self, topic: Topic | None, number: int) -> Cell | None:
        if topic is None:
            return None
        asked, name = self.asked, topic.name
        audience = min(
            (a for a in self.curriculum.audiences if self._open(topic, a)),
            key=lambda a: (asked[name, a.name], asked["*", a.name], self._rank(number, a.name)),
        )
        style = min(
            self._open(topic, audience),
            key=lambda s: (
                asked[name, audience.name, s.name],
                asked["*", audience.name, s.name] + asked[name, "*", s.name],
                self._rank(number, s.name),
            ),
        )
        for key in ((name,), (name, audience.name), ("*", audience.name), (name, audience.name, style.name)):
            asked[key] += 1
        asked["*", audience.name, style.name] += 1
        asked[name, "*", style.name] += 1
        return filled(self.curriculum, topic, (audience, style), f"{self._seed}:page:{number}")

    def _rank(self, place: object, name: str) -> bytes:
        return hashlib.blake2b(f"{self._seed}:{place}:{name}".encode(), digest_size=8).digest()


def filled(curriculum: Curriculum, topic: Topic, traits: tuple[Trait, Trait], seed: str) -> Cell:
    """A cell with its length and words drawn by a seed."""
    chance = random.Random(seed)
    audience, style = traits
    return Cell(topic, audience, style, chance.choice(curriculum.lengths), curriculum.words.draw(chance))
