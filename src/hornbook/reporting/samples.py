"""Records to look at, drawn by a seeded hash: what was kept, what was dropped, what the models wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hornbook.core.shards import DROPPED, KEPT, read_table, shards

SHOWN_LINES = 18
SHOWN_CHARS = 900


def excerpt(text: str) -> str:
    """The first lines of a text, with a mark where more follows."""
    lines = text[:SHOWN_CHARS].split("\n")[:SHOWN_LINES]
    short = "\n".join(lines)
    return short if short == text else short.rstrip() + "\n…"


def drawn(folder: Path, part: str, seed: int, count: int) -> list[dict[str, Any]]:
    """`count` records of a dataset's part, those with the lowest seeded hash of their id, read shard by shard."""
    lowest: list[tuple[bytes, str, dict[str, Any]]] = []
    for path in shards(folder, part):
        rows = read_table(path).to_pylist()
        lowest = sorted([*lowest, *((_rank(seed, row["id"]), row["id"], row) for row in rows)], key=_order)[
            :count
        ]
    return [row for _, _, row in lowest]


def written(folders: Mapping[str, Path], seed: int) -> list[dict[str, Any]]:
    """One kept record of each dataset that hornbook wrote or mined itself."""
    made = [key for key in folders if key == "textbooks" or key.startswith("exercises/")]
    return [
        {"dataset": key, "source": row["source"], "text": excerpt(row["text"])}
        for key in made
        for row in drawn(folders[key], KEPT, seed, 1)
    ]


def contaminated(folders: Mapping[str, Path], seed: int, count: int = 4) -> list[dict[str, Any]]:
    """A few records that decontamination removed, with what they matched."""
    found = [
        {"dataset": key.removeprefix("decontaminate/"), "source": row["source"], "detail": row["detail"]}
        for key in folders
        if key.startswith("decontaminate/")
        for row in drawn(folders[key], DROPPED, seed, count)
    ]
    return found[:count]


def attempts(folder: Path, benchmark: str, seed: int, count: int) -> list[dict[str, Any]]:
    """A few of a model's judged attempts at one benchmark."""
    rows = drawn(folder / "attempts", benchmark, seed, count)
    return [{**row, "judged": excerpt(row["judged"])} for row in rows]


def _rank(seed: int, id_: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{id_}".encode()).digest()


def _order(item: tuple[bytes, str, dict[str, Any]]) -> tuple[bytes, str]:
    return item[:2]
