"""Records to look at, drawn by a seeded hash: what was kept, what was dropped, what the models wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from hornbook.core.shards import DROPPED, FAILED, KEPT, read_json, read_table, shards

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


SHOWN_CLUSTERS = 5
SHOWN_MEMBERS = 4
SHOWN_ERRORS = 3
SHORT_PATH = 44
LOOKED_AT = 2_000
"""Rows of the list of clusters that the shown ones are taken from."""


def copies(folder: Path) -> dict[str, Any]:
    """How copies were found and which member of a cluster stayed, with a few clusters; empty without the facts."""
    facts = folder / "dedup.json"
    return {**read_json(facts), "examples": _clusters(folder / "clusters.parquet")} if facts.is_file() else {}


def _clusters(path: Path) -> list[dict[str, Any]]:
    """The largest among the first clusters of a dataset: who was kept, and who went with what similarity."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        rows = [row for batch in islice(file.iter_batches(LOOKED_AT), 1) for row in batch.to_pylist()]
    members: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        members.setdefault(row["kept_source"], []).append(row)
    largest = sorted(members.items(), key=lambda item: -len(item[1]))[:SHOWN_CLUSTERS]
    return [
        {
            "kept": kept,
            "size": len(gone) + 1,
            "because": _common(row["kept_because"] for row in gone),
            "gone": [
                {k: row[k] for k in ("source", "reason", "similarity", "kept_because")}
                for row in gone[:SHOWN_MEMBERS]
            ],
        }
        for kept, gone in largest
    ]


def _common(reasons: Iterable[str]) -> str:
    """The one reason of all; empty where they differ."""
    found = set(reasons)
    return found.pop() if len(found) == 1 else ""


def short_path(path: str) -> str:
    """A path of at most SHORT_PATH characters: its first folder and its end, or what fits of a long name."""
    if len(path) <= SHORT_PATH:
        return path
    first, *rest = path.split("/")
    end = ""
    while rest and len(f"{first}/…/{rest[-1]}/{end}") <= SHORT_PATH + 1:
        end = f"{rest.pop()}/{end}"
    if end:
        return f"{first}/…/{end}".rstrip("/")
    half = SHORT_PATH // 2
    return f"{path[: half - 1]}…{path[-half:]}"


def set_aside(folders: Mapping[str, Path]) -> dict[str, Any]:
    """Step -> how many of its shards failed and are missing, and the first errors."""
    failed = {key: sorted((folder / FAILED).glob("*.json")) for key, folder in folders.items()}
    return {
        key: {"shards": len(paths), "errors": [read_json(path) for path in paths[:SHOWN_ERRORS]]}
        for key, paths in failed.items()
        if paths
    }
