"""Verdicts are right, and each has its name."""

from __future__ import annotations

import pytest

from hornbook.benchmarks import load
from hornbook.sandbox import Limits, Program, Sandbox

CHECK = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\n"
RIGHT = Program("def add(a, b):\n    return a + b\n", CHECK, "add")
WRONG = Program("def add(a, b):\n    return a - b\n", CHECK, "add")


@pytest.mark.parametrize("mode", ["fast", "strict"])
@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (RIGHT.code, "passed"),
        (WRONG.code, "failed"),
        ("def add(a, b:\n", "failed"),
        ("def add(a, b):\n    while True:\n        pass\n", "timeout"),
        ("import sys\nsys.exit(0)\n", "failed"),
        ("import os\nos._exit(0)\n", "failed"),
        ("import ctypes\nctypes.string_at(0)\n", "crashed"),
    ],
)
def test_each_outcome_has_its_name(mode: str, code: str, outcome: str) -> None:
    with Sandbox(limits=Limits(cpu_seconds=1.0), workers=1, mode=mode) as sandbox:
        assert sandbox.verdict(Program(code, CHECK, "add")).outcome == outcome


def test_verdicts_come_in_order_and_what_a_program_prints_is_kept() -> None:
    with Sandbox(workers=2, mode="fast") as sandbox:
        assert [v.passed for v in sandbox.verdicts([RIGHT, WRONG] * 20)] == [True, False] * 20
        assert sandbox.verdict(Program("print('hello')")).output == "hello\n"
        assert sandbox.isolation


def test_every_canonical_solution_passes_and_every_empty_one_fails() -> None:
    problems = load("humaneval")
    right = [Program(p.prompt + p.solution, p.tests, p.entry_point) for p in problems]
    empty = [Program(p.prompt + "    pass\n", p.tests, p.entry_point) for p in problems]
    with Sandbox(limits=Limits(cpu_seconds=10.0), workers=2, mode="strict") as sandbox:
        assert [p.id for p, v in zip(problems, sandbox.verdicts(right), strict=True) if not v.passed] == []
        assert [p.id for p, v in zip(problems, sandbox.verdicts(empty), strict=True) if v.passed] == []
