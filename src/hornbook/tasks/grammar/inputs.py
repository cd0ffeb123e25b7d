"""Arguments to try an exercise on, by kind, and how they are written in code."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

WORDS = (
    "apple",
    "banana",
    "cherry",
    "level",
    "radar",
    "noon",
    "kayak",
    "civic",
    "Anna",
    "Bob",
    "eve",
    "stats",
    "tree",
    "moon",
    "book",
    "letter",
    "kitten",
    "summer",
    "sun",
    "sky",
    "sea",
    "map",
    "cat",
    "dog",
    "owl",
    "ant",
    "emu",
    "ibis",
    "orange",
    "umbrella",
    "island",
    "echo",
    "violin",
    "piano",
    "drum",
    "flute",
    "Paris",
    "Oslo",
    "Rome",
    "Lima",
    "cairo",
    "kyoto",
    "river",
    "stone",
    "cloud",
    "rain",
    "snow",
    "wind",
    "leaf",
    "grass",
    "blue",
    "green",
    "red",
    "pink",
    "gray",
    "sand",
    "salt",
    "sugar",
    "mint",
    "tea",
    "coffee",
    "bread",
    "butter",
    "cheese",
    "onion",
    "pear",
    "plum",
    "grape",
    "melon",
    "lemon",
    "otter",
    "tiger",
    "zebra",
    "panda",
    "lion",
    "mouse",
    "horse",
    "eagle",
    "Mars",
    "Venus",
    "Earth",
    "python",
    "code",
    "loop",
    "list",
    "queue",
    "stack",
    "graph",
    "node",
    "edge",
    "table",
    "chair",
    "window",
    "door",
    "garden",
    "bridge",
    "street",
)
COMPOSITES = (6, 8, 12, 16, 18, 20, 24, 28, 30, 36, 40, 48, 50, 60, 64, 72, 90, 97, 100)
INTEGERS = (*range(-12, 31), *range(0, 13), 36, 37, 42, 45, 49, 50, 55, 60, 64, 71, 77, 81, 99, 100, 121, 128)


def _ints(rng: random.Random, least: int = 3, most: int = 7) -> list[int]:
    return [rng.choice(INTEGERS) for _ in range(rng.randint(least, most))]


def _words(rng: random.Random, least: int = 2, most: int = 5) -> list[str]:
    words = [rng.choice(WORDS) for _ in range(rng.randint(least, most))]
    return words + words[:1] if rng.random() < 0.15 else words


def _near_ints(rng: random.Random) -> list[int]:
    return [rng.randint(-3, 14) for _ in range(rng.randint(4, 8))]


def _rows(rng: random.Random) -> list[list[int]]:
    return [_ints(rng, 1, 4) for _ in range(rng.randint(2, 4))]


def _pairs(rng: random.Random) -> list[tuple[int, int]]:
    return [(rng.choice(INTEGERS), rng.choice(INTEGERS)) for _ in range(rng.randint(2, 5))]


def _str_int_dict(rng: random.Random) -> dict[str, int]:
    return {word: rng.choice(INTEGERS) for word in _words(rng)}


def _sentence(rng: random.Random) -> str:
    text = " ".join(_words(rng))
    return f"{text} {rng.randint(0, 99)}" if rng.random() < 0.2 else text


def _records(rng: random.Random) -> list[tuple[str, int]]:
    return [(word, rng.choice(INTEGERS)) for word in _words(rng)]


DRAWS: Mapping[str, tuple[Any, Callable[[random.Random], Any]]] = {
    "ints": ([], _ints),
    "near_ints": ([], _near_ints),
    "int_tuple": ((), lambda rng: tuple(_ints(rng))),
    "int_set": (set(), lambda rng: set(_ints(rng))),
    "str_int_dict": ({}, _str_int_dict),
    "rows": ([], _rows),
    "pairs": ([], _pairs),
    "records": ([], _records),
    "words": ([], _words),
    "word_tuple": ((), lambda rng: tuple(_words(rng))),
    "word": ("", lambda rng: rng.choice(WORDS)),
    "sentence": ("", _sentence),
    "comma_line": ("", lambda rng: ",".join(_words(rng))),
    "number_line": ("", lambda rng: " ".join(map(str, _ints(rng)))),
    "integer": (0, lambda rng: rng.choice(INTEGERS)),
    "large": (0, lambda rng: rng.randint(0, 10 ** rng.randint(1, 7))),
    "small": (0, lambda rng: rng.randint(1, 30)),
    "tiny": (1, lambda rng: rng.randint(-8, 8)),
    "medium": (0, lambda rng: rng.randint(4, 25)),
    "composite": (1, lambda rng: rng.choice(COMPOSITES)),
}
"""Kind of argument -> (its smallest case, how to draw one)."""


def literal(value: Any) -> str:
    """A value as Python source that does not depend on hash order."""
    if isinstance(value, set):
        return "{" + ", ".join(map(repr, sorted(value))) + "}" if value else "set()"
    return repr(value)
