"""Tests that a teacher writes for functions whose body it does not see, and what makes such tests believable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from pydantic import Field

from hornbook.benchmarks.exercise import Exercise
from hornbook.core.context import Tools
from hornbook.core.settings import Config
from hornbook.sandbox import Limits
from hornbook.stages.exercises.answers import Refusal, read_tests
from hornbook.stages.exercises.proof import MUTANT_LIMITS, Mutation, mutation
from hornbook.teachers import Ask, Failed, FailureCap, Part, Teacher, answer_all, load_prompt

Messages = tuple[tuple[str, str], ...]
TOGETHER = 64
"""So many exercises are judged at a time, while the asking goes on."""
PROMPT_NAMES = ("function",), ("name",)


class AskingConfig(Config):
    """How a teacher is asked, and what its tests must refute before they are believed."""

    tests_prompt: str = "exercise-tests"
    """Asks for tests apart from the solution: a shipped prompt, or a text file with $function in it."""
    max_answer_tokens: int = Field(400, ge=32, le=32_768)
    temperature: float = Field(0.4, ge=0, le=2)
    max_failed_share: float = Field(0.5, ge=0, le=1)
    """The stage stops when the teacher fails on more than this share of the asks."""
    min_asserts: int = Field(3, ge=1)
    """Different asserts that tests must hold."""
    mutants: int = Field(6, ge=1, le=100)
    """Wrong versions of the solution that the tests are tried on, at most."""
    min_killed: int = Field(2, ge=1)
    """The tests must refute so many of them, ..."""
    min_mutation_score: float = Field(0.5, ge=0, le=1)
    """... and this share: some wrong versions mean the same as the right one, and nothing refutes those."""
    cpu_seconds: float = Field(2.0, gt=0, le=600)
    """Processor time for one exercise's solution and tests."""


@dataclass(frozen=True, slots=True)
class Tried:
    """An exercise on its way to tests: the answer that they were read from, and why it was refused, if it was."""

    exercise: Exercise
    raw: str = ""
    refusal: Refusal | None = None


def answers(
    config: AskingConfig, teacher: Teacher, messages: Sequence[Messages], tools: Tools, label: str
) -> Iterator[str | Failed]:
    """The raw answers in the order of the messages; StageError once too many asks failed."""
    asks = list(questions(config, messages, tools.seed))
    cap = FailureCap("exercises", len(asks), config.max_failed_share)
    with tools.progress.bar(label, len(asks), "functions") as bar:
        for answer in answer_all(teacher, asks, on_done=lambda _: bar.advance()):
            if isinstance(answer, Failed):
                cap.count(answer)
            yield answer if isinstance(answer, Failed) else answer.text


def questions(config: AskingConfig, messages: Iterable[Messages], seed: int) -> Iterator[Ask]:
    """The messages as asks."""
    return (Ask(said, config.max_answer_tokens, config.temperature, seed=seed) for said in messages)


def stand_ins(config: AskingConfig, count: int, seed: int) -> Part:
    """Asks for the tests of functions that are not there yet, of a usual length: for a forecast."""
    prompt = load_prompt(config.tests_prompt, *PROMPT_NAMES)
    body = "(values):\n" + "    Return what a usual docstring says about this.\n" * 6

    def ask(number: int) -> Ask:
        name = f"function_{number}"
        return next(questions(config, [prompt.fill(function=f"def {name}{body}", name=name)], seed))

    return Part(count, ask)


def with_tests(
    config: AskingConfig, untested: Sequence[Exercise], teacher: Teacher, tools: Tools
) -> Iterator[Tried]:
    """Each exercise with tests that a teacher wrote who saw its signature and docstring alone, as they arrive.

    Refusals are those of `read_tests` and teacher_<why it failed>.
    """
    prompt = load_prompt(config.tests_prompt, *PROMPT_NAMES)
    messages = [prompt.fill(function=e.prompt.strip(), name=e.name) for e in untested]
    said = answers(config, teacher, messages, tools, "asking for tests")
    for exercise, text in zip(untested, said, strict=True):
        if isinstance(text, Failed):
            yield Tried(exercise, "", Refusal(f"teacher_{text.reason}", text.detail))
            continue
        tests = read_tests(text, exercise.name, config.min_asserts)
        if isinstance(tests, Refusal):
            yield Tried(exercise, text, tests)
        else:
            yield Tried(replace(exercise, tests=tests), text)


def believed(config: AskingConfig, tested: Iterable[Tried], tools: Tools) -> list[Tried]:
    """Each with the verdict "passed", or with the refusal of its tests; judged while further answers arrive.

    In the strict sandbox the solution must pass, a body that does nothing must fail, and so must enough wrong
    versions; then the solution must pass once more in a fresh one. Refusals: tests_failed, stub_passes, weak_tests,
    unstable.
    """
    assert tools.sandbox is not None
    strict = partial(tools.sandbox, mode="strict", workers=max(2, tools.workers.count))
    limits = Limits(cpu_seconds=config.cpu_seconds)
    waiting, found = iter(tested), []
    with strict(limits=limits) as sandbox, strict(limits=MUTANT_LIMITS) as brief:
        while batch := list(islice(waiting, TOGETHER)):
            passed = _each(batch, _solved(batch, sandbox))
            found += _each(passed, _refuting(config, passed, tools.seed, brief))
    with strict(limits=limits) as sandbox:
        return _each(found, _again(found, sandbox))


def _each(tried: Sequence[Tried], judged: Iterator[Tried]) -> list[Tried]:
    """Those that are not refused yet, judged; the others as they are."""
    return [one if one.refusal else next(judged) for one in tried]


def _solved(tried: Sequence[Tried], sandbox: Any) -> Iterator[Tried]:
    """Whether the solution passes, and a body that does nothing does not."""
    open_ = [one for one in tried if not one.refusal]
    verdicts = sandbox.verdicts(p for one in open_ for p in (one.exercise.program, one.exercise.stub))
    for one in open_:
        solution, stub = next(verdicts), next(verdicts)
        if not solution.passed:
            yield replace(one, refusal=Refusal("tests_failed", f"{solution.outcome}: {solution.reason}"))
        elif stub.passed:
            yield replace(one, refusal=Refusal("stub_passes", "a body of `return None` passes the tests too"))
        else:
            yield one


def _refuting(config: AskingConfig, tried: Sequence[Tried], seed: int, sandbox: Any) -> Iterator[Tried]:
    """Whether enough wrong versions fail."""
    open_ = [one for one in tried if not one.refusal]
    found = mutation([one.exercise for one in open_], seed, config.mutants, sandbox)
    for one, wrong in zip(open_, found, strict=True):
        if wrong.killed < config.min_killed or wrong.score < config.min_mutation_score:
            detail = f"the tests refute {wrong.killed} of {wrong.made} wrong versions"
            yield replace(one, refusal=Refusal("weak_tests", detail))
        else:
            more = {**one.exercise.more, **wrong.counts()}
            yield replace(one, exercise=replace(one.exercise, verdict="passed", more=more))


def _again(tried: Sequence[Tried], sandbox: Any) -> Iterator[Tried]:
    """Whether the solution passes again."""
    open_ = [one for one in tried if not one.refusal]
    verdicts = sandbox.verdicts(one.exercise.program for one in open_)
    for one, verdict in zip(open_, verdicts, strict=True):
        detail = f"passed once, then {verdict.outcome}: {verdict.reason}"
        yield one if verdict.passed else replace(one, refusal=Refusal("unstable", detail))


def mutation_of(exercises: Iterable[Exercise]) -> Mutation:
    """The wrong versions that believed exercises were tried on."""
    tried = (Mutation(e.more["mutants"], e.more["mutants_killed"]) for e in exercises)
    return sum(tried, Mutation())


def tests_prompt_hash(config: AskingConfig) -> str:
    """The hash of the prompt that asks for tests."""
    return load_prompt(config.tests_prompt, *PROMPT_NAMES).sha256
