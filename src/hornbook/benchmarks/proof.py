"""Proof that the evaluator works on this machine: right solutions pass, empty ones fail, or nothing is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hornbook.benchmarks.attempts import program
from hornbook.benchmarks.problem import Problem
from hornbook.core.errors import StageError
from hornbook.sandbox import Sandbox


def prove(sandbox: Sandbox, problems: Sequence[Problem], on_done: Callable[[], None] = lambda: None) -> None:
    """Judge each problem's own solution and an empty one; StageError names the first verdicts that are wrong."""
    programs = [program(p, completion) for p in problems for completion in (p.solution, "")]
    wrong = []
    for number, verdict in enumerate(sandbox.verdicts(programs)):
        problem, is_empty = problems[number // 2], number % 2
        if verdict.passed == bool(is_empty):
            said = (
                "an empty solution passes"
                if is_empty
                else f"its own solution {verdict.outcome}: {verdict.reason}"
            )
            wrong.append(f"{problem.id} ({said})")
        on_done()
    if wrong:
        raise StageError(
            f"evaluate: {len(wrong)} of {len(programs)} verdicts on known programs are wrong, so nothing is scored: "
            + ", ".join(wrong[:3])
        )
