"""Function names for a teacher to write about: diversity comes from the names, not from the asking."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import islice
from typing import Any

FORMS = {("verbs", "objects"): 3, ("verbs", "qualities", "objects"): 4, ("verbs", "objects", "manners"): 3}
FORMS[("verbs", "qualities", "objects", "manners")] = 1
"""What a name is made of -> how often it is drawn."""
MOST_SHARE = 0.5
"""So much of all names may be asked for: beyond it, drawing names that are still new takes ever longer."""


@dataclass(frozen=True, slots=True)
class Theme:
    """What one exercise should be called, be about, and how hard it should be."""

    name: str
    concept: str
    difficulty: str
    wish: str
    """The difficulty in words for a prompt."""


def names_text() -> str:
    """The text of the table of names."""
    return (resources.files("hornbook.grammar") / "tables" / "names.toml").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _table() -> dict[str, list[Any]]:
    return tomllib.loads(names_text())


def names_total() -> int:
    """How many names the table makes, before those that say the same are taken out."""
    table, total = _table(), 0
    for form in FORMS:
        product = 1
        for part in form:
            product *= len(table[part])
        total += product
    return total


def most_names() -> int:
    """So many different names the table is good for."""
    return int(names_total() * MOST_SHARE)


def concept_names() -> list[str]:
    """What a theme may be about."""
    return _table()["concepts"]


def themes(count: int, seed: int) -> list[Theme]:
    """The first `count` themes of a seeded order, no name twice; ValueError where there are not so many names.

    Names that hold the same words, whatever their order and number, are one name. Concepts and difficulties come
    in turn, so that every pair of them is asked for equally often.
    """
    if count > most_names():
        raise ValueError(f"{count} names are wanted; the table is good for {most_names()}")
    names = islice(_names(seed), count)
    return [Theme(name, *cell) for name, cell in zip(names, _cells(seed), strict=False)]


def _names(seed: int) -> Iterator[str]:
    """Names without end, no two of the same words."""
    table, rng = _table(), random.Random(f"{seed}:names")
    seen: set[str] = set()
    while True:
        (form,) = rng.choices(list(FORMS), list(FORMS.values()))
        words = [rng.choice(table[part]) for part in form]
        plain = [_singular(word) for part in words for word in part.split("_")]
        key = " ".join(sorted(plain))
        if len(set(plain)) == len(plain) and key not in seen:
            seen.add(key)
            yield "_".join(words)


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _cells(seed: int) -> Iterator[tuple[str, str, str]]:
    """(concept, difficulty, wish) without end: all of them in a drawn order, then all in another."""
    table, rng = _table(), random.Random(f"{seed}:cells")
    cells = [(c, level["name"], level["wish"]) for c in table["concepts"] for level in table["difficulties"]]
    while True:
        yield from rng.sample(cells, len(cells))
