"""What proves an exercise: its solution passes the tests, and a stub and small wrong versions of it do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hornbook.benchmarks.exercise import Exercise
from hornbook.sandbox import Limits, Program
from hornbook.tasks.grammar.batch import as_one_program, as_one_showing

BATCH = 50
"""Grammar exercises a program: a fork costs more than running one."""
MUTANT_LIMITS = Limits(cpu_seconds=0.5)
"""A wrong version often never ends; a right one takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """How many wrong versions of a solution were tried, and how many its tests refuted."""

    made: int = 0
    killed: int = 0

    def __add__(self, other: Mutation) -> Mutation:
        return Mutation(self.made + other.made, self.killed + other.killed)

    @property
    def score(self) -> float:
        """The mutation score: the share that the tests refute; 0 where none was made."""
        return self.killed / self.made if self.made else 0.0

    def counts(self) -> dict[str, int]:
        return {"mutants": self.made, "mutants_killed": self.killed}


def refuted(exercises: Sequence[Exercise], sandbox: Any) -> dict[int, str]:
    """Number -> reason of each exercise whose solution fails its tests.

    Exercises of our own run many a program; only the members of a batch that fails run again one by one.
    """
    numbered = list(enumerate(exercises))
    batches = [numbered[first : first + BATCH] for first in range(0, len(numbered), BATCH)]
    verdicts = sandbox.verdicts(map(_batch_program, batches))
    suspects = [
        item for batch, verdict in zip(batches, verdicts, strict=True) if not verdict.passed for item in batch
    ]
    again = sandbox.verdicts(exercise.program for _, exercise in suspects)
    return {n: f"{v.outcome}: {v.reason}" for (n, _), v in zip(suspects, again, strict=True) if not v.passed}


def _batch_program(batch: Sequence[tuple[int, Exercise]]) -> Program:
    return Program(*as_one_program([(e.text, e.tests, e.name) for _, e in batch]))


def stub_passes(exercises: Iterable[Exercise], sandbox: Any) -> list[bool]:
    """For each exercise whether a body that does nothing passes its tests: then they prove nothing."""
    return [verdict.passed for verdict in sandbox.verdicts(exercise.stub for exercise in exercises)]


def mutation(exercises: Iterable[Exercise], seed: int, limit: int, sandbox: Any) -> list[Mutation]:
    """How each exercise's tests fare against at most `limit` wrong versions of its solution, each on its own.

    Some wrong versions mean the same as the right one and no test can refute those: do not expect a score of 1.
    """
    drawn = [(exercise, exercise.mutants(seed, limit)) for exercise in exercises]
    verdicts = sandbox.verdicts(exercise.wrong(mutant) for exercise, found in drawn for mutant in found)
    return [Mutation(len(found), sum(not next(verdicts).passed for _ in found)) for _, found in drawn]


def own_mutation(exercises: Sequence[Exercise], seed: int, limit: int, sandbox: Any) -> Mutation:
    """The same in sum, for exercises of our own: the wrong versions of each run as one program.

    Where one of them does not come to its end, all of that exercise run again one by one.
    """
    drawn = [(e, found) for e in exercises if (found := e.mutants(seed, limit))]
    together = [Program(*as_one_showing([(m.source, e.tests, e.name) for m in found])) for e, found in drawn]
    total, endless = Mutation(), []
    for (exercise, found), verdict in zip(drawn, sandbox.verdicts(together), strict=True):
        if verdict.passed:
            total += Mutation(len(found), len(verdict.output.split()))
        else:
            endless.append(exercise)
    return sum(mutation(endless, seed, limit, sandbox), total)
