"""Benchmarks: what is registered loads whole, and its own solutions are what the tests want."""

from __future__ import annotations

import ast
import dataclasses

import pytest

from hornbook.benchmarks import BENCHMARKS, benchmark_hashes, load, problems_hash
from hornbook.core.errors import ConfigError


@pytest.mark.parametrize("name", BENCHMARKS)
def test_problems_are_whole_programs_with_unique_ids(name: str) -> None:
    problems = load(name)
    assert len({problem.id for problem in problems}) == len(problems) > 0
    for problem in problems:
        program = problem.prompt + problem.solution
        names = {node.name for node in ast.parse(program).body if isinstance(node, ast.FunctionDef)}
        assert problem.entry_point in names, problem.id
        assert "def check(" in problem.tests
        assert problem.benchmark == name


def test_humaneval_has_its_164_problems() -> None:
    problems = load("humaneval")
    assert [problem.id for problem in problems] == [f"HumanEval/{n}" for n in range(164)]
    assert all(problem.prompt.endswith("\n") for problem in problems)


def test_hash_follows_every_letter() -> None:
    problems = load("humaneval")
    changed = [*problems[:-1], dataclasses.replace(problems[-1], tests=problems[-1].tests + " ")]
    assert benchmark_hashes(["humaneval"]) == {"benchmark.humaneval": problems_hash(problems)}
    assert problems_hash(changed) != problems_hash(problems)


def test_unknown_benchmark_names_the_known() -> None:
    with pytest.raises(ConfigError, match="no benchmark humanevil; known: humaneval"):
        load("humanevil")
