"""Grading as in section 4 of arXiv 2306.11644: a teacher argues first, then grades understanding and logic."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from hornbook.benchmarks.problem import Problem
from hornbook.core.progress import Progress
from hornbook.core.scores import mean_interval, triple
from hornbook.core.shards import write_json
from hornbook.teachers import Ask, Failed, FailureCap, Parsed, Prompt, Teacher, ask_parsed
from hornbook.teachers.pool import Asking

TEMPERATURE = 0.7
"""Of a grader that is asked more than once; asked once it takes the likeliest words."""
MOST = 10
"""The best grade."""


@dataclass(frozen=True)
class Grader:
    """Who grades, by which prompt, how often each answer, and how long it may argue."""

    teacher: Teacher
    prompt: Prompt
    repeats: int
    max_answer_tokens: int
    cap: FailureCap

    def asks(self, problem: Problem, judged: str) -> list[Ask]:
        messages = self.prompt.fill(prompt=problem.prompt.rstrip("\n"), solution=judged.rstrip() or "pass")
        temperature = TEMPERATURE if self.repeats > 1 else 0.0
        return [Ask(messages, self.max_answer_tokens, temperature, seed=n) for n in range(self.repeats)]


def check(value: Any) -> dict[str, Any]:
    """An argument and two grades; ValueError says what is missing or out of range."""
    if not isinstance(value, dict) or not str(value.get("argument") or "").strip():
        raise ValueError('it needs an "argument" before the grades')
    for name in ("understanding", "logic"):
        grade = value.get(name)
        if isinstance(grade, bool) or not isinstance(grade, int | float) or not 0 <= grade <= MOST:
            raise ValueError(f'"{name}" is {grade!r}; it should be a number from 0 to {MOST}')
    return {name: value[name] for name in ("argument", "understanding", "logic")}


def draw(problems: Sequence[Problem], count: int, seed: int) -> list[Problem]:
    """The `count` problems whose answers are graded: the same ones for every model."""
    return sorted(problems, key=lambda p: hashlib.blake2b(f"{seed}:grade:{p.id}".encode()).digest())[:count]


def grade(
    problems: Sequence[Problem],
    attempts: Sequence[Mapping[str, Any]],
    grader: Grader,
    path: Path,
    progress: Progress,
    seed: int,
) -> dict[str, Any]:
    """Grades of the first attempt at each problem, their means with intervals, and how they agree with execution.

    Every argument goes to `path`. score is the mean of both grades in percent; agreement is the chance that a passed
    attempt got a better logic grade than a failed one (0.5: none), None where all passed or all failed.
    """
    first = {row["id"]: row for row in attempts if row["sample"] == 0}
    work = [(p, ask) for p in problems for ask in grader.asks(p, first[p.id]["judged"])]
    found: dict[str, list[dict[str, Any]]] = {}
    failed: Counter[str] = Counter()
    with Asking(grader.teacher) as asking, progress.bar("grade", len(work), "answers") as bar:
        waiting = [(p.id, asking.start(ask_parsed(asking, ask, check))) for p, ask in work]
        for id_, future in waiting:
            told: Parsed | Failed = future.result()
            bar.advance()
            if isinstance(told, Failed):
                failed[told.reason] += 1
                grader.cap.count(told)
            else:
                found.setdefault(id_, []).append(told.value)
    passed = {id_: first[id_]["outcome"] == "passed" for id_ in found}
    write_json(path, {id_: {"passed": passed[id_], "grades": grades} for id_, grades in found.items()})
    means = {
        name: {id_: fmean(g[name] for g in grades) for id_, grades in found.items()}
        for name in ("understanding", "logic")
    }
    return {
        "problems": len(found),
        "repeats": grader.repeats,
        "failed": dict(failed),
        **{name: _mean(list(values.values()), seed) for name, values in means.items()},
        "score": _mean([50 / MOST * (means["understanding"][i] + means["logic"][i]) for i in found], seed),
        "agreement": agreement(means["logic"], passed),
    }


def _mean(values: Sequence[float], seed: int) -> list[float] | None:
    return triple(mean_interval(values, seed)) if values else None


def agreement(grades: Mapping[str, float], passed: Mapping[str, bool]) -> float | None:
    """The chance that a passed attempt has the better grade of two (the area under the ROC curve); ties count half."""
    right = [grade for id_, grade in grades.items() if passed[id_]]
    wrong = [grade for id_, grade in grades.items() if not passed[id_]]
    if not right or not wrong:
        return None
    return fmean((a > b) + 0.5 * (a == b) for a in right for b in wrong)
