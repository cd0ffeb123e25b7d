"""Where a completion ends, and what its failure is called."""

from __future__ import annotations

import pytest

from hornbook.benchmarks import load
from hornbook.benchmarks.postprocess import STOP_RULES, cut, failure_kind, program
from hornbook.sandbox import Verdict

BODY = "    total = sum(\n        values\n    )\n\n    return total\n"


@pytest.mark.parametrize("rule", STOP_RULES)
@pytest.mark.parametrize(
    "after", ["def other():\n    pass\n", "# done\n", "print(1)\n", "class A: ...", "if x:\n  y"]
)
def test_a_completion_ends_where_the_function_does(rule: str, after: str) -> None:
    assert cut(BODY + after, rule) == BODY
    assert cut(BODY + "\n\n" + after, rule) == BODY + "\n\n"
    assert cut(BODY, rule) == BODY


def test_the_rules_differ_at_other_code_on_the_margin() -> None:
    assert cut(BODY + "assert f([]) == 0\n", "top_level") == BODY
    assert cut(BODY + "assert f([]) == 0\n", "human_eval") == BODY + "assert f([]) == 0\n"


def test_a_closing_bracket_on_the_margin_is_no_end() -> None:
    assert cut("    return [\n1,\n]\n", "top_level") == "    return [\n1,\n]\n"
    assert cut("def again():\n    pass\n", "top_level") == ""


@pytest.mark.parametrize("rule", STOP_RULES)
def test_no_gold_solution_is_cut_in_a_way_that_changes_it(rule: str) -> None:
    """A rule that cut a right answer would turn it into a wrong one."""
    for problem in load("humaneval"):
        kept = cut(problem.solution, rule)
        assert problem.solution.startswith(kept)
        assert not problem.solution[len(kept) :].strip(), problem.id


def test_program_is_prompt_and_completion() -> None:
    problem = load("humaneval")[0]
    made = program(problem, "    return True\n")
    assert made.code == problem.prompt + "    return True\n"
    assert (made.tests, made.entry_point) == (problem.tests, problem.entry_point)


@pytest.mark.parametrize(
    ("outcome", "reason", "kind"),
    [
        ("passed", "", ""),
        ("failed", "SyntaxError: invalid syntax", "syntax"),
        ("failed", "NameError: name 'x' is not defined", "name"),
        ("failed", "AssertionError", "assertion"),
        ("failed", "decimal.InvalidOperation: []", "other"),
        ("timeout", "3.0 s of CPU", "timeout"),
        ("forbidden", "socket", "forbidden"),
    ],
)
def test_failures_have_a_kind(outcome: str, reason: str, kind: str) -> None:
    assert failure_kind("    return 1\n", Verdict(outcome, reason)) == kind  # type: ignore[arg-type]
    if kind:
        assert failure_kind("  \n", Verdict(outcome, reason)) == "empty"  # type: ignore[arg-type]
