"""What the report says of copies and of shards that failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from hornbook.core.shards import FAILED, read_json

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
