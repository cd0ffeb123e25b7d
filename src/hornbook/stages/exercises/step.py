"""exercises: a prompt, its solution and tests, from a grammar, from the corpus or from a teacher, all executed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.shards import Counts
from hornbook.stages.exercises import corpus, teacher
from hornbook.stages.exercises import grammar_source as grammar
from hornbook.stages.exercises.corpus import CorpusConfig
from hornbook.stages.exercises.coverage import write_coverage
from hornbook.stages.exercises.grammar_source import GrammarConfig
from hornbook.stages.exercises.teacher import TeacherConfig
from hornbook.teachers import Forecast

ExercisesConfig = Annotated[GrammarConfig | CorpusConfig | TeacherConfig, Field(discriminator="source")]


@dataclass(frozen=True)
class Source:
    """A row of the table: what makes the exercises, and what they are made from beside config and inputs."""

    make: Callable[[Any, Mapping[str, Path], Path, Tools], Counts]
    identity: Callable[[Any], Mapping[str, str]]
    known_concepts: Callable[[Any], int]
    """How many concepts it can give."""
    asks: Callable[[Any, Mapping[str, Path], int], Forecast] | None = None
    """What it would ask a teacher."""


SOURCES: Mapping[str, Source] = {
    "grammar": Source(grammar.make, grammar.identity, grammar.known_concepts),
    "corpus": Source(corpus.make, corpus.identity, corpus.known_concepts, corpus.asks),
    "teacher": Source(teacher.make, teacher.identity, teacher.known_concepts, teacher.asks),
}


def identity(config: ExercisesConfig, _cache: Path) -> Mapping[str, str]:
    """The hashes of the tables, names and prompts that the exercises come from."""
    return SOURCES[config.source].identity(config)


def asks(config: ExercisesConfig, inputs: Mapping[str, Path], seed: int) -> Forecast:
    """What the configured source will ask a teacher."""
    make = SOURCES[config.source].asks
    return make(config, inputs, seed) if make else Forecast(())


def run(config: ExercisesConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Make exercises from the configured source and keep those that execution does not refute.

    A kept document's meta holds name, docstring, signature, solution, tests, concepts, source and verdict ("passed":
    the solution passes its tests and a body that does nothing does not; "unproved": a function of the corpus without
    such tests), complexity and difficulty; coverage.json counts all of it. Reasons of drops: solution_failed
    (grammar); doctest_failed, does_not_run, duplicate (corpus; what was never a candidate is counted as
    skipped.<reason>); those of `read_function`, `read_tests`, `believed` and the teacher (teacher).
    """
    if tools.sandbox is None:
        raise StageError("exercises: no sandbox was given, and exercises are executed nowhere else")
    if config.asks_teacher and tools.teacher is None:
        raise StageError("exercises: this source asks a teacher; name one in the recipe")
    source = SOURCES[config.source]
    return write_coverage(out, source.make(config, inputs, out, tools), source.known_concepts(config))
