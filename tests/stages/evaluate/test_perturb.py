"""Perturbed problems: the same task in other words, always a problem still, and the same for the same seed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hornbook.benchmarks import Problem, load
from hornbook.benchmarks.postprocess import program
from hornbook.sandbox import Sandbox
from hornbook.stages.evaluate.robustness import PERTURBATIONS, perturb

PROBLEM = Problem(
    id="p/1",
    prompt='def total_price(prices, tax):\n    """Add up the prices in a list. Then add the tax. '
    'Return the sum of `prices` and tax.\n\n    >>> total_price([1, 2], 1)\n    4\n    """\n',
    solution='    text = f"{tax}"\n    total = sum(prices, start=int(text))\n    return total\n',
    tests="def check(candidate):\n    assert candidate([1, 2], 1) == 4\n    assert candidate([], 0) == 0\n",
    entry_point="total_price",
    benchmark="p",
)


def _made(kind: str, problem: Problem = PROBLEM) -> Problem:
    made = perturb(problem, kind, 3)
    assert made is not None
    return made


def test_every_way_leaves_most_of_humaneval_a_problem() -> None:
    problems = load("humaneval")[::6]
    made = {kind: [one for p in problems if (one := perturb(p, kind, 0))] for kind in PERTURBATIONS}
    programs = [program(p, text) for some in made.values() for p in some for text in (p.solution, "")]
    with Sandbox(workers=2) as sandbox:
        passed = [verdict.passed for verdict in sandbox.verdicts(programs)]
    assert not any(passed[1::2])
    assert sum(passed[::2]) >= 0.97 * len(passed[::2])
    for kind, some in made.items():
        few = kind in ("reordered", "numbered")  # they need two sentences
        assert len(some) >= len(problems) * (0.3 if few else 0.9), kind


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_the_draw_is_the_seeds(kind: str) -> None:
    assert perturb(PROBLEM, kind, 3) == perturb(PROBLEM, kind, 3) != PROBLEM
    assert _made(kind).id == PROBLEM.id


def test_names_change_everywhere_they_are_names() -> None:
    made = _made("renamed")
    assert made.entry_point != "total_price"
    assert f"def {made.entry_point}(first_arg, second_arg):" in made.prompt
    assert f">>> {made.entry_point}([1, 2], 1)" in made.prompt
    assert "`first_arg`" in made.prompt
    assert "Add up the prices" in made.prompt
    assert made.solution.splitlines()[:2] == [
        '    text = f"{second_arg}"',
        "    total = sum(first_arg, start=int(text))",
    ]


def test_each_way_does_what_its_name_says() -> None:
    assert len(_made("longer").prompt) > len(PROBLEM.prompt) + 150
    assert "Give back the total" in _made("reworded").prompt
    assert " the " not in _made("grammar_errors").prompt
    assert "1. Add up the prices in a list.\n    2. Then" in _made("numbered").prompt
    assert _made("reordered").prompt.split() != PROBLEM.prompt.split()
    assert sorted(_made("reordered").prompt.split()) == sorted(PROBLEM.prompt.split())
    assert "def station_label" in _made("irrelevant_context").prompt
    assert ">>>" in PROBLEM.prompt
    assert ">>>" not in _made("no_examples").prompt


def test_names_are_found_behind_what_only_splitlines_takes_for_a_line_end() -> None:
    odd = replace(PROBLEM, prompt=PROBLEM.prompt.replace("Add up", "Add\x0c up\u2028"))
    assert _made("renamed", odd).solution == _made("renamed").solution != PROBLEM.solution


@pytest.mark.parametrize(
    "prompt", ["def total_price(prices, tax):\n", 'def total_price(prices, tax):\n    """"""\n']
)
def test_a_prompt_without_a_description_is_left_alone(prompt: str) -> None:
    bare = Problem("p", prompt, "    return 1\n", "", "total_price", "p")
    assert [perturb(bare, kind, 0) for kind in PERTURBATIONS] == [None] * len(PERTURBATIONS)
