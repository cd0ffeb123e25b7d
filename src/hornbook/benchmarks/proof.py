"""Proof that the evaluator works on this machine: right solutions pass, empty ones fail, or nothing is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hornbook.benchmarks.postprocess import program
from hornbook.benchmarks.problem import Problem
from hornbook.core.errors import StageError
from hornbook.sandbox import Sandbox, Verdict

PROOF_CPU_SECONDS = 90.0
"""What a problem's own solution may take; the slowest known (MBPP+ 599) takes 10 to 20 here."""
TIMES_OWN_SECONDS = 5.0
"""An attempt may take this many times the CPU seconds of the problem's own solution, measured on this machine."""


def prove(
    sandbox: Sandbox, problems: Sequence[Problem], on_done: Callable[[], None] = lambda: None
) -> dict[Problem, float]:
    """CPU seconds that an attempt at each problem may take, once each own solution passed and each empty one failed.

    A limit is TIMES_OWN_SECONDS the own solution's, and never below the sandbox's. StageError names the first wrong
    verdicts; `on_done` is called twice a problem.
    """
    floor = sandbox.limits.cpu_seconds
    own = (program(p, p.solution, max(PROOF_CPU_SECONDS, floor)) for p in problems)
    limits: dict[Problem, float] = {}
    wrong = []
    for problem, verdict in zip(problems, sandbox.verdicts(own), strict=True):
        limits[problem] = max(floor, TIMES_OWN_SECONDS * verdict.cpu_seconds)
        wrong += [] if verdict.passed else [f"{problem.id} (its own solution {_said(verdict)})"]
        on_done()
    empty = (program(p, "", limits[p]) for p in problems)
    for problem, verdict in zip(problems, sandbox.verdicts(empty), strict=True):
        wrong += [f"{problem.id} (an empty solution passes)"] if verdict.passed else []
        on_done()
    if wrong:
        raise StageError(
            f"{len(wrong)} of {2 * len(problems)} verdicts on known programs are wrong, so nothing is scored: "
            + ", ".join(wrong[:3])
        )
    return limits


def _said(verdict: Verdict) -> str:
    return f"{verdict.outcome}: {verdict.reason}"
