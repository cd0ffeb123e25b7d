"""What textbook pages are about: topics in a tree, the readers they are for, and the styles they are written in."""

from __future__ import annotations

import hashlib
import random
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from hornbook.core.errors import ConfigError, InputError


@dataclass(frozen=True, slots=True)
class Topic:
    """A leaf of the tree: `area` is its file's name without number and suffix, as in "algorithms"."""

    area: str
    chapter: str
    name: str


@dataclass(frozen=True, slots=True)
class Trait:
    """An audience or a style: its short name, and the words for the prompt."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Cell:
    """What one page is about, for whom, and how it is written."""

    topic: Topic
    audience: Trait
    style: Trait


@dataclass(frozen=True, slots=True)
class Curriculum:
    """Topics x audiences x styles; `sha256` is the hash of all its files."""

    topics: tuple[Topic, ...]
    audiences: tuple[Trait, ...]
    styles: tuple[Trait, ...]
    sha256: str

    def draw(self, pages: Sequence[int], seed: int) -> Iterator[Cell]:
        """The cells of the pages with these numbers: every topic comes once before one comes again.

        A page's cell depends on the seed and its number alone, so asking for more pages changes none.
        """
        orders: dict[int, list[Topic]] = {}
        for page in pages:
            round_, place = divmod(page, len(self.topics))
            if round_ not in orders:
                orders[round_] = random.Random(f"{seed}:round:{round_}").sample(self.topics, len(self.topics))
            chance = random.Random(f"{seed}:page:{page}")
            yield Cell(orders[round_][place], chance.choice(self.audiences), chance.choice(self.styles))


def load_curriculum(folder: str = "", areas: Sequence[str] = ()) -> Curriculum:
    """The curriculum that comes with hornbook, or the one in your folder: topics/*.toml, audiences.toml, styles.toml.

    With `areas`, only the topics of these areas; ConfigError where one is unknown or a file is malformed.
    """
    root: Traversable = Path(folder) if folder else resources.files(__name__)
    digest = hashlib.sha256()
    topics = [topic for file in _topic_files(root) for topic in _topics(file, _table(file, digest))]
    known = list(dict.fromkeys(topic.area for topic in topics))
    for area in areas:
        if area not in known:
            raise ConfigError(
                f"textbooks.areas: {area!r} is not in the curriculum; areas: {', '.join(known)}"
            )
    return Curriculum(
        topics=tuple(topic for topic in topics if not areas or topic.area in areas),
        audiences=_traits(root / "audiences.toml", "audience", digest),
        styles=_traits(root / "styles.toml", "style", digest),
        sha256=digest.hexdigest(),
    )


def _topic_files(root: Traversable) -> list[Traversable]:
    folder = root / "topics"
    files = [f for f in folder.iterdir() if f.name.endswith(".toml")] if folder.is_dir() else []
    if not files:
        raise InputError(
            f"{root} has no topics/*.toml; a curriculum needs them, audiences.toml and styles.toml"
        )
    return sorted(files, key=lambda file: file.name)


def _table(file: Traversable, digest: Any) -> dict[str, Any]:
    try:
        data = file.read_bytes()
        digest.update(data)
        return tomllib.loads(data.decode())
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}") from error


def _topics(file: Traversable, table: dict[str, Any]) -> list[Topic]:
    area = file.name.removesuffix(".toml").lstrip("0123456789").lstrip("_")
    try:
        return [Topic(area, c["title"], str(name)) for c in table["chapter"] for name in c["topics"]]
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"{file}: every [[chapter]] needs a title and a list of topics ({error})"
        ) from error


def _traits(file: Traversable, key: str, digest: Any) -> tuple[Trait, ...]:
    try:
        traits = tuple(Trait(entry["name"], entry["text"]) for entry in _table(file, digest)[key])
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{file}: every [[{key}]] needs a name and a text ({error})") from error
    if not traits:
        raise ConfigError(f"{file} lists no [[{key}]]")
    return traits
