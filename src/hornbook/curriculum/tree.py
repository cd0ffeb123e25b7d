"""The curriculum in memory: topics in a tree, audiences, styles, lengths, and words to weave in."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """A leaf of the tree: `area` is its file's name without number and suffix, as in "algorithms"."""

    area: str
    chapter: str
    name: str


@dataclass(frozen=True, slots=True)
class Trait:
    """An audience, a style or a length: its short name, and the words for the prompt."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Words:
    """Plain words of three kinds; one of each in a prompt makes every page a little different.

    The trick of TinyStories (Eldan and Li, 2023).
    """

    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]

    def draw(self, chance: random.Random) -> tuple[str, ...]:
        return tuple(chance.choice(kind) for kind in (self.nouns, self.verbs, self.adjectives))


@dataclass(frozen=True, slots=True)
class Cell:
    """What one page is about, for whom, how it is written, how long it is, and which words it must use."""

    topic: Topic
    audience: Trait
    style: Trait
    length: Trait
    words: tuple[str, ...]

    def values(self) -> Mapping[str, str]:
        """What a prompt may name with a $."""
        return {
            "topic": self.topic.name,
            "area": self.topic.area.replace("_", " "),
            "chapter": self.topic.chapter,
            "audience": self.audience.text,
            "style": self.style.text,
            "length": self.length.text,
            "words": ", ".join(self.words),
        }


@dataclass(frozen=True, slots=True)
class Curriculum:
    """Topics x audiences x styles, and what is drawn beside them; `sha256` is the hash of all its files."""

    topics: tuple[Topic, ...]
    audiences: tuple[Trait, ...]
    styles: tuple[Trait, ...]
    lengths: tuple[Trait, ...]
    words: Words
    sha256: str

    @property
    def chapters(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """(area, chapter) -> the names of its topics, in order."""
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for topic in self.topics:
            found[topic.area, topic.chapter] = (*found.get((topic.area, topic.chapter), ()), topic.name)
        return found
