"""What a set of exercises covers: names, concepts, difficulty, verdicts; and what its tests are worth."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from hornbook.benchmarks.exercise import HARD, LEVELS
from hornbook.core.shards import Counts, read_documents, write_json

COVERAGE = "coverage.json"
LONGEST_COMPLEXITY = 20
"""What is more complex is counted with this."""


def coverage(folder: Path, counts: Counts, known: int) -> dict[str, Any]:
    """Everything that is counted over the kept exercises of a dataset, read shard by shard.

    `known` is how many concepts its source can give.
    """
    names: set[str] = set()
    found: dict[str, Counter[str]] = {key: Counter() for key in ("verdicts", "difficulty", "concepts")}
    branches: Counter[int] = Counter()
    total = 0
    for document in read_documents(folder):
        meta = document.meta
        total += 1
        names.add(meta["name"])
        found["verdicts"][meta["verdict"]] += 1
        found["difficulty"][meta["difficulty"]] += 1
        found["concepts"].update(meta["concepts"])
        branches[min(meta["complexity"], LONGEST_COMPLEXITY)] += 1
    mutants, killed = int(counts.get("mutants", 0)), int(counts.get("mutants_killed", 0))
    return {
        "exercises": total,
        "names": len(names),
        "verdicts": dict(found["verdicts"]),
        "difficulty": {level: found["difficulty"][level] for level in (*(name for name, _ in LEVELS), HARD)},
        "complexity": [branches[n] for n in range(1, LONGEST_COMPLEXITY + 1)],
        "concepts": dict(found["concepts"]),
        "known_concepts": known,
        "mutation": {
            "mutants": mutants,
            "killed": killed,
            "score": killed / mutants if mutants else None,
        },
    }


def write_coverage(out: Path, counts: Counts, known: int) -> Counts:
    """Write coverage.json, and add to the counts what a person asks for first."""
    found = coverage(out, counts, known)
    write_json(out / COVERAGE, found)
    return {**counts, "names": found["names"], "concepts": len(found["concepts"])}
