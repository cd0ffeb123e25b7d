"""MBPP+ (EvalPlus): MBPP's clearer problems with about a hundred inputs each, from the Hub or EvalPlus' JSONL."""

from __future__ import annotations

import ast
import re
from math import inf
from pathlib import Path

from hornbook.benchmarks.files import Row, hub_rows, read_rows
from hornbook.benchmarks.function_form import called_first, examples_of, spaced, split, tree
from hornbook.benchmarks.plus import Rule, as_published, asked, plus_tests
from hornbook.benchmarks.problem import Problem
from hornbook.benchmarks.typed_inputs import typed
from hornbook.core.errors import InputError

HUB = ("evalplus/mbppplus", "data/test-*.parquet")
DISPUTED: dict[str, Rule] = {"Mbpp/164": "unjudged", "Mbpp/295": "sum of divisors"}
"""Problems whose reference is right by MBPP's own asserts only."""
ANY_ORDER = {"Mbpp/2", "Mbpp/140", "Mbpp/579", "Mbpp/769"}
"""Problems whose answer is a sequence made of a set, though their asserts compare sequences."""
LONGEST = {"Mbpp/255": 20}
"""Largest second argument; above it answers have up to 1.7 million tuples, which take more than a gigabyte."""


def load_mbpp_plus(path: str) -> list[Problem]:
    """The problems as function completion; a file may be EvalPlus' own JSONL or as the Hub has it (whole tests)."""
    rows = (
        read_rows(Path(path), ("task_id", "prompt"))
        if path
        else hub_rows(*HUB, ("task_id", "prompt", "code"))
    )
    try:
        return [_problem(row) for row in rows]
    except (KeyError, ValueError) as error:
        raise InputError(f"{path or HUB[0]} is not MBPP+: {type(error).__name__} {error}") from error


def _problem(row: Row) -> Problem:
    code = spaced(row["canonical_solution"] if "canonical_solution" in row else row["code"])
    asserts = row["assertion"] if "assertion" in row else "\n".join(row["test_list"])
    name = row.get("entry_point") or called_first(code, asserts)
    prompt, solution = split(code, name, _text(row["prompt"]), examples_of(asserts, name))
    return Problem(
        id=_id(row),
        prompt=prompt,
        solution=solution,
        tests=_tests(row, name, code, asserts),
        entry_point=name,
        benchmark="mbpp_plus",
        published_prompt=row["prompt"] + "\n" if "canonical_solution" in row else "",
    )


def _text(prompt: str) -> str:
    """What the docstring says, without quotes and asserts around it."""
    text = prompt.strip().strip("\"'").strip()
    return "\n".join(line for line in text.splitlines() if not line.startswith("assert "))


def _tests(row: Row, name: str, code: str, asserts: str) -> str:
    """A check of every input against the own solution; published tests as they are where they show no inputs."""
    if "plus_input" in row:
        base, extra = typed(row["base_input"], row["plus_input"] or [], asserts, name)
        tolerance = row["atol"]
    elif found := asked(row["test"]):
        first = sum(isinstance(node, ast.Assert) for node in tree(asserts).body)
        base, extra, tolerance = found.inputs[:first], found.inputs[first:], found.tolerance
    else:
        return as_published(row["test"], name)
    longest = LONGEST.get(_id(row), inf)
    kept = [inputs for inputs in extra if longest == inf or inputs[1] <= longest]
    return plus_tests(name, code, base, kept, tolerance, _rule(_id(row), name, asserts))


def _id(row: Row) -> str:
    """Mbpp/2, also where the row has the number alone."""
    return f"Mbpp/{str(row['task_id']).removeprefix('Mbpp/')}"


def _rule(id_: str, name: str, asserts: str) -> Rule:
    """How MBPP's own asserts compare: as sets, as truths (`assert f(x)`), or for equality."""
    if id_ in DISPUTED:
        return DISPUTED[id_]
    if id_ in ANY_ORDER or re.search(rf"\bset\(\s*{name}\(", asserts):
        return "any order"
    tests = [node.test for node in ast.walk(tree(asserts)) if isinstance(node, ast.Assert)]
    return "truth" if any(isinstance(test, ast.Call | ast.UnaryOp) for test in tests) else "same"
