"""One problem of a benchmark: what a model sees, what it should write, and how that is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hornbook.core.records import text_id, to_json


@dataclass(frozen=True, slots=True)
class Problem:
    """A prompt and its proof: `prompt + solution` is a whole program that `tests` accepts.

    `tests` is source text that defines `check(candidate)`, called with the function named `entry_point`.
    """

    id: str
    prompt: str
    solution: str
    tests: str
    entry_point: str
    benchmark: str
    concepts: tuple[str, ...] = ()
    difficulty: str = ""
    published_prompt: str = ""
    """The prompt to the letter as published, where `prompt` spells it otherwise; attempts made elsewhere follow it."""


def from_row(row: Mapping[str, Any], benchmark: str, tests: str = "") -> Problem:
    """A row with HumanEval's fields as a problem, with other tests than its own where they are given."""
    return Problem(
        id=row["task_id"],
        prompt=row["prompt"],
        solution=row["canonical_solution"],
        tests=tests or row["test"],
        entry_point=row["entry_point"],
        benchmark=benchmark,
    )


def key_values(problem: Problem) -> tuple[Any, ...]:
    """All of a problem, in the order that keys and hashes hold it. It never changes."""
    return (
        problem.id,
        problem.prompt,
        problem.solution,
        problem.tests,
        problem.entry_point,
        problem.benchmark,
        problem.concepts,
        problem.difficulty,
        problem.published_prompt,
    )


def problems_hash(problems: Sequence[Problem]) -> str:
    """A hash of everything in the problems: equal hashes are the same benchmark to the letter."""
    return text_id(to_json([key_values(problem) for problem in problems]))
