"""What the report says about exercises: coverage, difficulty, what their tests are worth, what was spoiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from markupsafe import Markup

from hornbook.core.scores import wilson
from hornbook.core.shards import KEPT, read_json
from hornbook.report.figures import histogram
from hornbook.report.samples import drawn, excerpt

SHOWN_CONCEPTS = 12
SAMPLED = 200
"""Records among which one of each fault is looked for."""
Folders = Mapping[str, Path]


def exercises(folders: Folders) -> dict[str, Any]:
    """The numbers: `sets` by step, each with what it covers; `dials` by step, each with how far they were turned."""
    return {
        "sets": {key: _set(read_json(path)) for key, path in _files(folders, "exercises", "coverage.json")},
        "dials": {key: _dials(read_json(path)) for key, path in _files(folders, "degrade", "dials.json")},
    }


def complexities(found: Mapping[str, Any]) -> list[Markup]:
    """A histogram a set: how many exercises have so many ways to branch."""
    drawings = []
    for key, one in found["sets"].items():
        if one["exercises"]:
            counts = one["complexity"]
            edges = [n + 0.5 for n in range(len(counts) + 1)]
            caption = f"{key.partition('/')[2]}: how hard"
            drawings.append(histogram(edges, counts, None, caption, "cyclomatic complexity"))
    return drawings


def faults(folders: Folders, seed: int) -> list[dict[str, str]]:
    """One record of each fault in each degraded set, drawn by a hash, with what was done to it."""
    found: list[dict[str, str]] = []
    for key, folder in folders.items():
        seen: set[str] = set()
        for row in drawn(folder, KEPT, seed, SAMPLED) if key.startswith("degrade/") else ():
            truth = orjson.loads(row["meta"]).get("spoiled", {})
            if truth and truth["dial"] not in seen:
                seen.add(truth["dial"])
                title = f"{key}, {truth['dial'].replace('_', ' ')}"
                found.append({"title": title, "change": truth["change"], "text": excerpt(row["text"])})
    return found


def _files(folders: Folders, stage: str, name: str) -> Iterator[tuple[str, Path]]:
    for key, folder in folders.items():
        if key.startswith(f"{stage}/") and (folder / name).is_file():
            yield key, folder / name


def _set(found: Mapping[str, Any]) -> dict[str, Any]:
    """A set's coverage, with the interval of its mutation score and its concepts by how often they occur."""
    tried = found["mutation"]
    score = wilson(tried["killed"], tried["mutants"]) if tried["mutants"] else None
    concepts = sorted(found["concepts"].items(), key=lambda item: (-item[1], item[0]))
    return {
        **found,
        "mutation": {**tried, "score": [score.value, score.low, score.high] if score else None},
        "concepts": {
            "covered": len(concepts),
            "known": found["known_concepts"],
            "often": concepts[:SHOWN_CONCEPTS],
            "seldom": concepts[SHOWN_CONCEPTS:][-SHOWN_CONCEPTS:],
        },
    }


def _dials(found: Mapping[str, Any]) -> dict[str, Any]:
    """Only the dials that were turned."""
    turned = {name: dial for name, dial in found["dials"].items() if dial["asked_share"]}
    return {**found, "dials": turned}
