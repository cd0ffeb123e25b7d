"""Function names for a teacher to write about: diversity comes from the names, not from the asking."""

from __future__ import annotations

import random
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Theme:
    """What one exercise should be called and be about."""

    name: str
    concept: str


def names_text() -> str:
    """The text of the table of names."""
    return (resources.files("hornbook.grammar") / "tables" / "names.toml").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _table() -> dict[str, list[str]]:
    return tomllib.loads(names_text())


def themes(count: int, seed: int) -> list[Theme]:
    """The first `count` themes of a seeded order, no name twice; ValueError where there are not so many names."""
    table = _table()
    names = [f"{verb}_{thing}" for verb in table["verbs"] for thing in table["objects"]]
    if count > len(names):
        raise ValueError(f"{count} names are wanted; the table makes {len(names)}")
    random.Random(f"{seed}:names").shuffle(names)
    return [Theme(name, random.Random(f"{seed}:{name}").choice(table["concepts"])) for name in names[:count]]
