"""The source "grammar": seeded compositions of concepts, right by construction and executed all the same."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hornbook.benchmarks.exercise import Exercise
from hornbook.core.context import Tools
from hornbook.core.errors import ConfigError
from hornbook.core.records import Document, Drop, documents_table, to_json
from hornbook.core.settings import Config
from hornbook.core.shards import KEPT, Counts, run_shards, shard_name, write_bytes, write_shard, write_table
from hornbook.sandbox import Limits
from hornbook.stages.exercises.proof import MUTANT_LIMITS, Mutation, own_mutation, refuted
from hornbook.tasks.grammar import GRAMMARS, Composed, compose
from hornbook.tasks.grammar.concepts import tables, tables_text
from hornbook.tasks.grammar.styles import STYLES

HELDOUT = "heldout"


class GrammarConfig(Config):
    """Exercises composed from tables of concepts, without limit and without a teacher."""

    source: Literal["grammar"]
    count: int = Field(12_000, ge=1)
    """Exercises to train on."""
    heldout_count: int = Field(400, ge=0)
    """Exercises of combinations that are never trained on."""
    heldout_share: float = Field(0.1, ge=0, lt=1)
    """Share of all combinations that are held out."""
    breadth: Literal["core", "full"] = "core"
    """A core that a model of a million parameters can learn, or everything."""
    cpu_seconds: float = Field(2.0, gt=0, le=600)
    """Processor time for one program of solutions and tests."""
    mutated: int = Field(200, ge=0)
    """Exercises whose tests are tried on wrong versions of the solution: a sample, spread evenly."""
    mutants: int = Field(5, ge=1, le=100)
    """Wrong versions of each, at most."""
    shard_exercises: int = Field(2_000, ge=1)

    @property
    def asks_teacher(self) -> bool:
        return False


@dataclass(frozen=True)
class GrammarJob:
    """One shard of composed exercises."""

    name: str
    numbers: range
    heldout: bool
    config: GrammarConfig
    seed: int
    out: Path
    sandbox: Callable[..., Any]


def identity(config: GrammarConfig) -> Mapping[str, str]:
    """The hash of the tables."""
    return {"tables": hashlib.sha256(tables_text().encode()).hexdigest()}


def known_concepts(config: GrammarConfig) -> int:
    """Concepts, sources and styles in use."""
    used, every = GRAMMARS[config.breadth], tables()
    parts = (used.concepts or every.concepts, used.sources or every.sources, used.styles or STYLES)
    return sum(map(len, parts))


def make(config: GrammarConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Compose, execute and write: to kept/, and to heldout/ what no model is trained on."""
    assert tools.sandbox is not None
    if config.heldout_count and not config.heldout_share:
        raise ConfigError("exercises.heldout_share is 0, but heldout_count asks for held-out exercises")
    jobs: dict[str, GrammarJob] = {}
    for part, count in ((KEPT, config.count), (HELDOUT, config.heldout_count)):
        for number, first in enumerate(range(0, count, config.shard_exercises)):
            numbers = range(first, min(first + config.shard_exercises, count))
            name, heldout = shard_name(number), part == HELDOUT
            key = f"{HELDOUT}-{name}" if heldout else name
            jobs[key] = GrammarJob(name, numbers, heldout, config, tools.seed, out, tools.sandbox)
    return run_shards("composing", compose_shard, jobs, out, tools)


def compose_shard(job: GrammarJob) -> Counts:
    """Compose one shard, execute it, and write it."""
    part = HELDOUT if job.heldout else KEPT
    composed: dict[str, tuple[int, Exercise]] = {}
    for number in job.numbers:
        rng = random.Random(f"{job.seed}:{part}:{number}")
        made = compose(GRAMMARS[job.config.breadth], rng, job.config.heldout_share, job.heldout)
        composed.setdefault(made.prompt + made.solution, (number, _exercise(made)))
    numbers, exercises = zip(*composed.values(), strict=True)
    failed = _execute(job, exercises)
    tried = _mutation(job, numbers, exercises)
    made_documents = [e.document(f"grammar/{part}/{n}") for n, e in composed.values()]
    kept = [document for number, document in enumerate(made_documents) if number not in failed]
    dropped = [Drop(made_documents[n], "solution_failed", detail) for n, detail in failed.items()]
    if job.heldout:
        return _write_heldout(job, kept, len(failed))
    counts = {"repeated": len(job.numbers) - len(composed), **tried.counts()}
    return write_shard(job.out, job.name, kept, dropped, counts)


def _exercise(made: Composed) -> Exercise:
    return Exercise(
        name=made.name,
        prompt=made.prompt,
        solution=made.solution,
        tests=made.tests,
        source="grammar",
        verdict="passed",
        concepts=made.concepts,
        more={"combination": made.combination},
    )


def _execute(job: GrammarJob, exercises: tuple[Exercise, ...]) -> dict[int, str]:
    limits = Limits(cpu_seconds=job.config.cpu_seconds)
    with job.sandbox(mode="fast", workers=1, limits=limits) as sandbox:
        return refuted(exercises, sandbox)


def _mutation(job: GrammarJob, numbers: tuple[int, ...], exercises: tuple[Exercise, ...]) -> Mutation:
    """What a sample of this shard's exercises says about the tests."""
    config = job.config
    if job.heldout or not config.mutated:
        return Mutation()
    step = max(1, config.count // config.mutated)
    sample = [exercise for n, exercise in zip(numbers, exercises, strict=True) if n % step == 0]
    if not sample:
        return Mutation()
    with job.sandbox(mode="fast", workers=1, limits=MUTANT_LIMITS) as sandbox:
        return own_mutation(sample, job.seed, config.mutants, sandbox)


def _write_heldout(job: GrammarJob, kept: list[Document], failed: int) -> Counts:
    write_table(job.out / HELDOUT / job.name, documents_table(kept))
    counts = {"heldout": len(kept), "heldout_failed": failed}
    write_bytes(job.out / "counts" / f"{HELDOUT}-{job.name}.json", to_json(counts).encode())
    return counts
