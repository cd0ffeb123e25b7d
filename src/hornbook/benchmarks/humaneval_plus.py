"""HumanEval+ (EvalPlus): HumanEval's prompts with up to a thousand inputs each, from the Hub or EvalPlus' JSONL."""

from __future__ import annotations

from pathlib import Path

from hornbook.benchmarks.files import Row, hub_rows, read_rows
from hornbook.benchmarks.plus import plus_tests
from hornbook.benchmarks.problem import Problem, from_row

HUB = ("evalplus/humanevalplus", "data/test-*.parquet")
FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
FIND_ZERO = "HumanEval/32"
"""Any root will do: with a bare tolerance on the polynomial's value, right programs fail at large coefficients."""


def load_humaneval_plus(path: str) -> list[Problem]:
    """The 164 problems; a file may be EvalPlus' own JSONL (inputs, a reference) or hold whole tests, as the Hub's."""
    rows = read_rows(Path(path), FIELDS) if path else hub_rows(*HUB, FIELDS)
    return [from_row(row, "humaneval_plus", _tests(row)) for row in rows]


def _tests(row: Row) -> str:
    """The published tests as they are, or a check of every input."""
    if "plus_input" not in row:
        return str(row["test"])
    reference = row["prompt"] + row["canonical_solution"]
    name, base, extra, tolerance = row["entry_point"], row["base_input"], row["plus_input"], row["atol"]
    if row["task_id"] != FIND_ZERO:
        return plus_tests(name, reference, base, extra, tolerance)
    asked_for = [inputs for inputs in extra if _has_a_root_in_reach(inputs[0])]
    return plus_tests(name, reference, base, asked_for, tolerance, "root")


def _has_a_root_in_reach(coefficients: list[float]) -> bool:
    """Whether the last coefficient is not 0, as the prompt promises, and the roots do not add up to more than 2^19.

    From there on floats stand further apart than the 1e-10 to which HumanEval's own solution narrows a root down.
    """
    *_, second, last = coefficients
    return bool(last) and abs(second / last) <= 2**19
