"""hornbook's own problems: 50, spread over difficulty, proved by execution, by their examples and by mutants."""

from __future__ import annotations

import ast
import doctest
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hornbook.benchmarks import Problem, load
from hornbook.benchmarks.postprocess import program
from hornbook.core.errors import InputError
from hornbook.sandbox import Limits, Sandbox
from hornbook.text.mutants import mutants

PROBLEMS = load("unconventional")
LEAST_KILLED = 0.95
"""Of all mutants; most of those that live behave as the solution does."""


def test_difficulties_and_concepts_are_spread() -> None:
    assert Counter(problem.difficulty for problem in PROBLEMS) == {"easy": 15, "medium": 18, "hard": 17}
    concepts = Counter(concept for problem in PROBLEMS for concept in problem.concepts)
    assert len(concepts) >= 30
    assert max(concepts.values()) <= len(PROBLEMS) // 4


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.id.split("/")[1])
def test_form_is_humaneval_s(problem: Problem) -> None:
    function = ast.parse(problem.prompt + problem.solution).body[-1]
    assert isinstance(function, ast.FunctionDef)
    assert all(argument.annotation for argument in function.args.args)
    assert function.returns
    assert problem.prompt.endswith('"""\n')
    assert problem.tests.count("\n    assert candidate(") >= 5
    assert doctest.DocTestParser().get_examples(ast.get_docstring(function) or "")


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.id.split("/")[1])
def test_the_examples_in_the_prompt_are_right(problem: Problem) -> None:
    names: dict[str, Any] = {}
    exec(problem.prompt + problem.solution, names)
    test = doctest.DocTestParser().get_doctest(
        names[problem.entry_point].__doc__, names, problem.id, None, None
    )
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert said == []


def killed(problems: list[Problem]) -> tuple[int, int]:
    """(mutants that the tests tell from the solution, all mutants)."""
    programs = []
    for problem in problems:
        made = mutants(problem.prompt + problem.solution, 0, 10_000, len(problem.prompt))
        programs += [program(problem, mutant.source[len(problem.prompt) :]) for mutant in made]
    with Sandbox(Limits(cpu_seconds=0.5, wall_seconds=5), mode="fast") as sandbox:
        return sum(not verdict.passed for verdict in sandbox.verdicts(programs)), len(programs)


def test_tests_kill_nearly_all_mutants_of_a_few() -> None:
    dead, made = killed(PROBLEMS[4::16])
    assert dead / made >= LEAST_KILLED


@pytest.mark.slow
def test_tests_kill_nearly_all_mutants() -> None:
    dead, made = killed(PROBLEMS)
    assert made > 1800
    assert dead / made >= LEAST_KILLED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(x):\n    return x\n", "is not a problem"),
        ("# concepts: a\nx = 1\n\n\ndef check(candidate):\n    pass\n", "it has no function"),
        (
            "# concepts: a\ndef f(x):\n    return x\n\n\ndef check(candidate):\n    pass\n",
            "lacks its concepts or",
        ),
        (None, "holds no problem"),
    ],
)
def test_a_folder_of_one_s_own_is_read_or_says_what_is_wrong(
    text: str | None, said: str, tmp_path: Path
) -> None:
    (tmp_path / "easy").mkdir()
    if text is not None:
        (tmp_path / "easy" / "mine.txt").write_text(text)
    with pytest.raises(InputError, match=said):
        load(f"unconventional:{tmp_path}")
