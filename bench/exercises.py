"""Exercises verified per second, and how many the grammar holds.

    python bench/exercises.py

Grammar exercises are executed in the fast sandbox, many a program; a teacher's go through the whole acceptance in the
strict one: the solution, a stub, six wrong versions, and the solution again in a fresh sandbox. Their text is the
grammar's own (full), so that the figures are of the same work.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import replace

from counting import census

from hornbook.benchmarks.exercise import Exercise
from hornbook.core.context import Tools
from hornbook.sandbox import Limits, Sandbox
from hornbook.stages.exercises.proof import MUTANT_LIMITS, own_mutation, refuted
from hornbook.stages.exercises.teacher import TeacherConfig
from hornbook.stages.exercises.tested import Tried, believed
from hornbook.tasks.grammar import GRAMMARS, compose


def composed(count: int) -> list[Exercise]:
    made = [compose(GRAMMARS["full"], random.Random(f"bench:{n}")) for n in range(count)]
    return [Exercise(m.name, m.prompt, m.solution, m.tests, "grammar", "passed", m.concepts) for m in made]


def rate(count: int, begun: float) -> str:
    seconds = time.monotonic() - begun
    return f"{count / seconds:8.1f} a second ({count} in {seconds:.1f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grammar", type=int, default=4000, help="grammar exercises")
    parser.add_argument("--teacher", type=int, default=150, help="exercises through a teacher's acceptance")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    for breadth, grammar in GRAMMARS.items():
        found = census(grammar)
        print(
            f"{breadth}: {found.combinations:,} combinations, {found.tasks:,} tasks, "
            f"{found.exercises:,} with their numbers"
        )
    begun = time.monotonic()
    exercises = composed(options.grammar)
    print("composed             ", rate(len(exercises), begun))
    begun = time.monotonic()
    with Sandbox(Limits(cpu_seconds=2.0), workers=options.workers, mode="fast") as sandbox:
        failed = refuted(exercises, sandbox)
    print("grammar, executed    ", rate(len(exercises), begun), f"{len(failed)} failed")
    some = exercises[: options.teacher]
    begun = time.monotonic()
    with Sandbox(Limits(cpu_seconds=2.0), workers=options.workers, mode="strict") as sandbox:
        failed_alone = sum(not v.passed for v in sandbox.verdicts(e.program for e in some))
    print("one a program, strict", rate(len(some), begun), f"{failed_alone} failed")
    begun = time.monotonic()
    with Sandbox(MUTANT_LIMITS, workers=options.workers, mode="fast") as sandbox:
        tried = own_mutation(some, 1, 5, sandbox)
    print("grammar, wrong ones  ", rate(tried.made, begun), f"{tried.killed} of {tried.made} refuted")
    begun = time.monotonic()
    config = TeacherConfig(source="teacher")
    asked = (Tried(replace(exercise, verdict="unproved")) for exercise in some)
    kept = [one for one in believed(config, asked, Tools(sandbox=Sandbox)) if not one.refusal]
    print("teacher, accepted    ", rate(len(some), begun), f"{len(kept)} of {len(some)} believed")


if __name__ == "__main__":
    main()
