"""MBPP (arXiv 2108.07732): 974 problems as function completion, from the Hub or a file in its own or ReCode's form."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from hornbook.benchmarks.files import Row, hub_rows, read_rows
from hornbook.benchmarks.function_form import called_first, examples_of, spaced, split
from hornbook.benchmarks.problem import Problem
from hornbook.core.errors import InputError

HUB = ("google-research-datasets/mbpp", "full/*.parquet")
RECODE_FIELDS = ("prompt", "canonical_solution", "entry_point", "test")
REPAIRS: dict[str, tuple[str, str, str]] = {
    "MBPP/64": ("prompt", r"(?m)^(?!def|$)", " "),
    "MBPP/160": ("tests", "No candidate", "No solution"),
    "MBPP/607": ("solution", r"(?m)^ +(?:pattern = 'fox'|text = 'The quick.*)\n", ""),
    "MBPP/631": ("solution", r"(?m)^ +text = 'Python Exercises'\n", ""),
    "MBPP/966": ("solution", r"(?m)^   ", " "),
}
"""Problems whose own solution fails as published: the part, what is wrong in it, and what stands there instead."""
LEFT_OUT = {
    "MBPP/367": "its tests use a tree that ReCode's file lost",
    "MBPP/596": "its answer is a size in memory that differs between versions of Python",
    "MBPP/601": "its tests use a class that ReCode's file hid in the function",
    "MBPP/642": "its answer is an order of sets that differs between versions of Python",
    "MBPP/927": "its tests use a tree that ReCode's file lost",
}
"""Problems that no program can be proved right on, as ReCode published them, and why."""


def load_mbpp(path: str) -> list[Problem]:
    """The problems by their number, signature and docstring first, tabs as four spaces; InputError for another form.

    What cannot be proved is in LEFT_OUT.
    """
    rows = read_rows(Path(path), ("task_id",)) if path else hub_rows(*HUB, ("task_id",))
    rows.sort(key=lambda row: int(str(row["task_id"]).split("/")[-1]))
    return [_repaired(problem) for problem in map(_problem, rows) if problem.id not in LEFT_OUT]


def _repaired(problem: Problem) -> Problem:
    if problem.id not in REPAIRS:
        return problem
    part, wrong, right = REPAIRS[problem.id]
    changed: dict[str, Any] = {part: re.sub(wrong, right, getattr(problem, part))}
    return replace(problem, **changed)


def _problem(row: Row) -> Problem:
    if all(name in row for name in RECODE_FIELDS):
        return Problem(
            id=row["task_id"],
            prompt=spaced(row["prompt"]),
            solution=spaced(row["canonical_solution"]),
            tests=row["test"],
            entry_point=row["entry_point"],
            benchmark="mbpp",
            published_prompt=row["prompt"],
        )
    try:
        return _original(row)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"MBPP problem {row['task_id']} is neither in MBPP's form nor in ReCode's: {error}"
        ) from error


def _original(row: Row) -> Problem:
    """A row as MBPP was published: text, code and a list of asserts."""
    code, asserts = spaced(row["code"]), [line.strip() for line in row["test_list"]]
    name = called_first(code, asserts[0])
    prompt, solution = split(
        code, name, row.get("text") or row["prompt"], examples_of("\n".join(asserts), name)
    )
    before = [row.get("test_setup_code") or "", *(row.get("test_imports") or [])]
    body = re.sub(rf"(?<![\w.]){name}(?=\s*\()", "candidate", "\n".join(f"    {line}" for line in asserts))
    return Problem(
        id=f"MBPP/{row['task_id']}",
        prompt=prompt,
        solution=solution,
        tests="\n".join([*filter(None, before), "def check(candidate):", body, ""]),
        entry_point=name,
        benchmark="mbpp",
    )
