"""The evaluator is proved before it speaks, and its time limits come from this machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hornbook.benchmarks import Problem
from hornbook.benchmarks.postprocess import program
from hornbook.benchmarks.proof import TIMES_OWN_SECONDS, prove
from hornbook.core.errors import StageError
from hornbook.sandbox import Limits, Sandbox

BUSY = """    import time
    while time.process_time() < SECONDS:
        pass
    return x
"""
PROBLEM = Problem(
    "T/1", "def f(x):\n", "    return x\n", "def check(c):\n    assert c(3) == 3\n", "f", "test"
)
SLOW = replace(PROBLEM, id="T/2", solution=BUSY.replace("SECONDS", "0.8"))


def test_limits_are_a_multiple_of_the_own_solution_s_time_and_never_below_the_floor() -> None:
    done = []
    with Sandbox(Limits(cpu_seconds=1.5, wall_seconds=30), workers=2) as sandbox:
        limits = prove(sandbox, [PROBLEM, SLOW], lambda: done.append(1))
        within, beyond = (BUSY.replace("SECONDS", seconds) for seconds in ("2.5", "100"))
        attempts = [
            program(SLOW, within, limits[SLOW]),
            program(SLOW, beyond, limits[SLOW]),
            program(SLOW, within),
        ]
        outcomes = [verdict.outcome for verdict in sandbox.verdicts(attempts)]
    assert limits[PROBLEM] == 1.5
    assert TIMES_OWN_SECONDS * 0.8 <= limits[SLOW] < TIMES_OWN_SECONDS * 1.5
    assert outcomes == ["passed", "timeout", "timeout"]
    assert len(done) == 4


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (replace(PROBLEM, solution="    return 4\n"), r"T/1 \(its own solution failed: AssertionError"),
        (
            replace(PROBLEM, prompt="def f(x):\n    return x\n", solution="\n"),
            r"T/1 \(an empty solution passes\)",
        ),
    ],
)
def test_nothing_is_scored_where_a_known_verdict_is_wrong(broken: Problem, said: str) -> None:
    with Sandbox(workers=1) as sandbox, pytest.raises(StageError, match=said):
        prove(sandbox, [broken])
