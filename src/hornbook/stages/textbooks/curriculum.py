"""The curriculum in memory: topics in a tree, audiences, styles, lengths, and words to weave in."""

from __future__ import annotations

import hashlib
import random
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hornbook.core.errors import ConfigError, InputError
from hornbook.core.settings import Config, parse


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


Part = Literal["topics", "audiences", "styles", "lengths", "words"]


class TraitEntry(Config):
    """An audience, a style or a length."""

    name: str = Field(min_length=1)
    text: str = Field(min_length=1)


class ChapterEntry(Config):
    """A branch of the tree: topics that belong together."""

    title: str = Field(min_length=1)
    topics: tuple[str, ...] = Field(min_length=1)
    area: str = ""
    """Only in a file of your own; in topics/ it is the name of the file."""


class TopicsFile(Config):
    """A file of topics/."""

    title: str = ""
    chapter: tuple[ChapterEntry, ...] = Field(min_length=1)


class AudiencesFile(Config):
    """audiences.toml."""

    audience: tuple[TraitEntry, ...] = Field(min_length=1)


class StylesFile(Config):
    """styles.toml."""

    style: tuple[TraitEntry, ...] = Field(min_length=1)


class LengthsFile(Config):
    """lengths.toml."""

    length: tuple[TraitEntry, ...] = Field(min_length=1)


class WordsFile(Config):
    """words.toml: one of each kind is drawn for a page."""

    nouns: tuple[str, ...] = Field(min_length=1)
    verbs: tuple[str, ...] = Field(min_length=1)
    adjectives: tuple[str, ...] = Field(min_length=1)


class OwnFile(Config):
    """A file of your own: what it lists is added to what comes with hornbook, or stands in its place."""

    replace: tuple[Part, ...] = ()
    """Parts of which only what this file lists counts."""
    chapter: tuple[ChapterEntry, ...] = ()
    audience: tuple[TraitEntry, ...] = ()
    style: tuple[TraitEntry, ...] = ()
    length: tuple[TraitEntry, ...] = ()
    words: WordsFile | None = None


class _Reader:
    """Reads TOML files and remembers the hash of all of them."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def __call__(self, file: Traversable) -> dict[str, Any]:
        try:
            data = file.read_bytes()
            self.digest.update(data)
            return tomllib.loads(data.decode())
        except FileNotFoundError as error:
            raise InputError(f"{file} does not exist; a curriculum needs it") from error
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} is not TOML: {error}") from error


def load_curriculum(place: str = "", areas: Sequence[str] = ()) -> Curriculum:
    """The curriculum that comes with hornbook, a folder of your own in its place, or a file that extends it.

    A folder has topics/*.toml, audiences.toml and styles.toml, and may have lengths.toml and words.toml; a file is
    an `OwnFile`. With `areas`, only the topics of these areas. ConfigError names the file and what is wrong in it.
    """
    reader = _Reader()
    shipped = resources.files("hornbook.stages.textbooks")
    path = Path(place)
    if place and not path.exists():
        raise InputError(f"textbooks.curriculum: {place} does not exist; name a folder or a TOML file")
    is_file = bool(place) and path.is_file()
    found = _folder(path if place and not is_file else shipped, shipped, reader)
    if is_file:
        found = _with_own(found, parse(OwnFile, reader(path), place), place)
    where = place or "the curriculum"
    _unique("topic", (topic.name for topic in found["topics"]), where)
    for part in ("audiences", "styles", "lengths"):
        _unique(part[:-1], (trait.name for trait in found[part]), where)
    topics = _only(found.pop("topics"), areas)
    return Curriculum(topics=topics, sha256=reader.digest.hexdigest(), **found)


def _folder(root: Traversable, shipped: Traversable, reader: _Reader) -> dict[str, Any]:
    """The parts of a curriculum folder; lengths and words that it lacks are hornbook's."""

    def either(name: str) -> Traversable:
        return root / name if (root / name).is_file() else shipped / name

    topics = [topic for file in _topic_files(root) for topic in _topics(file, reader)]
    words = parse(WordsFile, reader(either("words.toml")), str(either("words.toml")))
    audiences, styles, lengths = root / "audiences.toml", root / "styles.toml", either("lengths.toml")
    return {
        "topics": tuple(topics),
        "audiences": _traits(parse(AudiencesFile, reader(audiences), str(audiences)).audience),
        "styles": _traits(parse(StylesFile, reader(styles), str(styles)).style),
        "lengths": _traits(parse(LengthsFile, reader(lengths), str(lengths)).length),
        "words": _words(words),
    }


def _topic_files(root: Traversable) -> list[Traversable]:
    folder = root / "topics"
    files = [f for f in folder.iterdir() if f.name.endswith(".toml")] if folder.is_dir() else []
    if not files:
        raise InputError(
            f"{root} has no topics/*.toml; a curriculum needs them, audiences.toml and styles.toml"
        )
    return sorted(files, key=lambda file: file.name)


def _topics(file: Traversable, reader: _Reader) -> Iterable[Topic]:
    area = file.name.removesuffix(".toml").lstrip("0123456789").lstrip("_")
    for chapter in parse(TopicsFile, reader(file), str(file)).chapter:
        yield from (Topic(area, chapter.title, name) for name in chapter.topics)


def _with_own(found: Mapping[str, Any], own: OwnFile, where: str) -> dict[str, Any]:
    """A curriculum and what a file adds to it or puts in its place."""
    for chapter in own.chapter:
        if not chapter.area:
            raise ConfigError(f'{where}: chapter {chapter.title!r} needs an area, as in area = "algorithms"')
    new = _words(own.words) if own.words else Words((), (), ())
    added: dict[str, Any] = {
        "topics": tuple(Topic(c.area, c.title, name) for c in own.chapter for name in c.topics),
        "audiences": _traits(own.audience),
        "styles": _traits(own.style),
        "lengths": _traits(own.length),
        "words": new,
    }
    for part in own.replace:
        if not added[part] or added[part] == Words((), (), ()):
            raise ConfigError(f"{where}: replace names {part}, but the file lists none")
    old: Words = found["words"]
    both = Words(old.nouns + new.nouns, old.verbs + new.verbs, old.adjectives + new.adjectives)
    joined = {part: found[part] + added[part] for part in ("topics", "audiences", "styles", "lengths")}
    return {**joined, "words": both, **{part: added[part] for part in own.replace}}


def _traits(entries: Iterable[TraitEntry]) -> tuple[Trait, ...]:
    return tuple(Trait(entry.name, entry.text) for entry in entries)


def _words(file: WordsFile) -> Words:
    return Words(file.nouns, file.verbs, file.adjectives)


def _unique(kind: str, names: Iterable[str], where: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(f"{where}: the {kind} {twice[0]!r} is there twice; each needs a name of its own")


def _only(topics: tuple[Topic, ...], areas: Sequence[str]) -> tuple[Topic, ...]:
    known = list(dict.fromkeys(topic.area for topic in topics))
    for area in areas:
        if area not in known:
            raise ConfigError(
                f"textbooks.areas: {area!r} is not in the curriculum; areas: {', '.join(known)}"
            )
    return tuple(topic for topic in topics if not areas or topic.area in areas)
