"""exercises: a prompt, its solution and tests, from a grammar, from the corpus or from a teacher, all executed."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hornbook.core.config import Config
from hornbook.core.errors import ConfigError, StageError
from hornbook.core.records import Document, Drop, documents, documents_table, text_id, to_json
from hornbook.core.shards import (
    KEPT,
    Counts,
    read_table,
    run_shards,
    shard_name,
    shards,
    write_bytes,
    write_shard,
    write_table,
)
from hornbook.core.tools import Tools
from hornbook.grammar import GRAMMARS, Exercise, compose
from hornbook.grammar.batch import as_one_program
from hornbook.grammar.concepts import tables_text
from hornbook.grammar.names import Theme, names_text, themes
from hornbook.sandbox import Limits, Program
from hornbook.teachers import Answer, Ask, Failed, FailureCap, answer_all, load_prompt
from hornbook.text.code import Function, self_contained_functions
from hornbook.text.mining import Unusable, Written, body_nodes, doctest_check, normal_form, read_answer

HELDOUT = "heldout"
MINED = "mined"
BATCH = 50
"""Grammar exercises a program: a fork costs more than running one."""


class ExercisesConfig(Config):
    """Which source, how much of it, and what an exercise must fulfil."""

    source: Literal["grammar", "corpus", "teacher"]
    cpu_seconds: float = Field(2.0, gt=0, le=600)
    """Processor time for one exercise's solution and tests."""
    count: int = Field(12_000, ge=1)
    """grammar: exercises to train on."""
    heldout_count: int = Field(400, ge=0)
    """grammar: exercises of combinations that are never trained on."""
    heldout_share: float = Field(0.1, ge=0, lt=1)
    """grammar: share of all combinations that are held out."""
    breadth: Literal["core", "full"] = "core"
    """grammar: a core that a model of a million parameters can learn, or everything."""
    shard_exercises: int = Field(2_000, ge=1)
    min_body_nodes: int = Field(12, ge=1)
    """corpus: a body of fewer syntax nodes is trivial."""
    max_chars: int = Field(3_000, ge=100)
    """corpus: prompt and solution together."""
    asks: int = Field(8, ge=1)
    """teacher: functions asked for; fewer survive."""
    prompt: str = "exercise"
    """teacher: a prompt that comes with hornbook, or a text file with $name and $concept in it."""
    max_answer_tokens: int = Field(300, ge=32, le=32_768)
    temperature: float = Field(0.4, ge=0, le=2)
    max_failed_share: float = Field(0.5, ge=0, le=1)
    """teacher: the stage stops when the teacher fails on more than this share of the asks."""


def identity(config: ExercisesConfig, _cache: Path) -> Mapping[str, str]:
    """The hashes of the tables, and of the prompt's text, that the exercises come from."""
    if config.source == "grammar":
        return {"tables": hashlib.sha256(tables_text().encode()).hexdigest()}
    if config.source == "teacher":
        names = hashlib.sha256(names_text().encode()).hexdigest()
        return {"names": names, "prompt": load_prompt(config.prompt, ("name", "concept")).sha256}
    return {}


def run(config: ExercisesConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Make exercises from the configured source and keep those that execution does not refute.

    A kept document's meta holds name, prompt_chars, tests, entry_point, concepts, origin and verdict ("passed", or
    "unproved": a corpus function without usable doctests). Reasons of drops: solution_failed, duplicate (grammar);
    doctest_failed, does_not_run, duplicate (corpus; what was never a candidate is counted as skipped.<reason>);
    tests_failed, stub_passes and those of `read_answer` and the teacher (teacher).
    """
    if tools.sandbox is None:
        raise StageError("exercises: no sandbox was given, and exercises are executed nowhere else")
    return SOURCES[config.source](config, inputs, out, tools)


def exercise(text: tuple[str, str], source: str, **meta: Any) -> Document:
    """A document of kind exercise from (prompt, solution)."""
    prompt, solution = text
    return Document(prompt + solution, source, "exercise", {"prompt_chars": len(prompt), **meta})


# ---- grammar


@dataclass(frozen=True)
class GrammarJob:
    """One shard of composed exercises."""

    name: str
    numbers: range
    heldout: bool
    config: ExercisesConfig
    seed: int
    out: Path
    sandbox: Callable[..., Any]


def _from_grammar(config: ExercisesConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    if config.heldout_count and not config.heldout_share:
        raise ConfigError("exercises.heldout_share is 0, but heldout_count asks for held-out exercises")
    jobs: dict[str, GrammarJob] = {}
    for part, count in ((KEPT, config.count), (HELDOUT, config.heldout_count)):
        for number, first in enumerate(range(0, count, config.shard_exercises)):
            numbers = range(first, min(first + config.shard_exercises, count))
            name, heldout = shard_name(number), part == HELDOUT
            key = f"{HELDOUT}-{name}" if heldout else name
            jobs[key] = GrammarJob(name, numbers, heldout, config, tools.seed, out, tools.sandbox or _none)
    return run_shards("composing", compose_shard, jobs, out, tools)


def _none(**_: Any) -> Any:
    raise AssertionError("run() checks that there is a sandbox")


def compose_shard(job: GrammarJob) -> Counts:
    """Compose one shard, execute it, and write it: to kept/, or to heldout/ for held-out combinations."""
    config = job.config
    part = HELDOUT if job.heldout else KEPT
    made: dict[str, Document] = {}
    repeated = 0
    for number in job.numbers:
        rng = random.Random(f"{job.seed}:{part}:{number}")
        composed = compose(GRAMMARS[config.breadth], rng, config.heldout_share, job.heldout)
        document = _composed(composed, f"grammar/{part}/{number}")
        repeated += document.id in made
        made.setdefault(document.id, document)
    with job.sandbox(mode="fast", workers=1, limits=Limits(cpu_seconds=config.cpu_seconds)) as sandbox:
        failed = refuted(list(made.values()), sandbox)
    kept = [document for document in made.values() if document.id not in failed]
    dropped = [Drop(made[id_], "solution_failed", detail) for id_, detail in failed.items()]
    extra = {"repeated": repeated}
    if not job.heldout:
        return write_shard(job.out, job.name, kept, dropped, extra)
    write_table(job.out / HELDOUT / job.name, documents_table(kept))
    counts = {"heldout": len(kept), "heldout_failed": len(failed)}
    write_bytes(job.out / "counts" / f"{HELDOUT}-{job.name}.json", to_json(counts).encode())
    return counts


def _composed(made: Exercise, source: str) -> Document:
    meta = {
        "name": made.name,
        "tests": made.tests,
        "entry_point": made.name,
        "concepts": list(made.concepts),
        "combination": made.combination,
        "origin": "grammar",
        "verdict": "passed",
    }
    return exercise((made.prompt, made.solution), source, **meta)


def refuted(exercises: Sequence[Document], sandbox: Any) -> dict[str, str]:
    """Id -> reason of each exercise whose solution fails its tests.

    Exercises of our own run many a program; only the members of a batch that fails run again one by one.
    """
    batches = [exercises[first : first + BATCH] for first in range(0, len(exercises), BATCH)]
    verdicts = sandbox.verdicts(map(_batch_program, batches))
    suspects = [
        d for batch, verdict in zip(batches, verdicts, strict=True) if not verdict.passed for d in batch
    ]
    again = sandbox.verdicts(map(_program, suspects))
    return {d.id: f"{v.outcome}: {v.reason}" for d, v in zip(suspects, again, strict=True) if not v.passed}


def _batch_program(batch: Sequence[Document]) -> Program:
    items = [(d.text, d.meta["tests"], d.meta["entry_point"]) for d in batch]
    return Program(*as_one_program(items))


def _program(document: Document) -> Program:
    """An exercise as a program; without tests the question is only whether it runs."""
    tests = document.meta["tests"]
    return Program(document.text, tests, document.meta["entry_point"] if tests else "")


# ---- corpus


@dataclass(frozen=True)
class CorpusJob:
    """One shard of the corpus to mine, or of mined functions to execute without the `duplicates` among them."""

    path: Path
    out: Path
    config: ExercisesConfig
    sandbox: Callable[..., Any]
    duplicates: frozenset[int] = frozenset()


def _from_corpus(config: ExercisesConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    found = out / MINED
    sandbox = tools.sandbox or _none
    jobs = {path.name: CorpusJob(path, found, config, sandbox) for path in shards(inputs["documents"])}
    mined = run_shards("mining", mine_shard, jobs, found, tools)
    repeats = _duplicates(shards(found))
    proving = {path.name: CorpusJob(path, out, config, sandbox, repeats[path]) for path in shards(found)}
    counts = run_shards("proving", prove_shard, proving, out, tools)
    shutil.rmtree(found)
    return {**counts, **{key: n for key, n in mined.items() if key.startswith(("skipped.", "functions"))}}


def mine_shard(job: CorpusJob) -> Counts:
    """Write the fit functions of one shard of the corpus with the hash of their normal form."""
    skipped: Counter[str] = Counter()
    made: list[Document] = []
    forms: list[str] = []
    for document in documents(read_table(job.path)):
        if document.kind != "code":
            continue
        for function in self_contained_functions(document.text):
            reason = _unfit(function, job.config)
            skipped["functions" if not reason else f"skipped.{reason}"] += 1
            if not reason:
                made.append(_mined(function, document.source))
                forms.append(text_id(normal_form(function)))
    return write_shard(job.out, job.path.name, documents_table(made, form=forms), counts=skipped)


def _unfit(function: Function, config: ExercisesConfig) -> str:
    """Why a function is no candidate; empty where it is one."""
    if len(function.prompt) + len(function.solution) > config.max_chars:
        return "too_long"
    if body_nodes(function) < config.min_body_nodes:
        return "trivial"
    return ""


def _mined(function: Function, source: str) -> Document:
    tests = doctest_check(function)
    meta = {
        "name": function.name,
        "tests": tests,
        "entry_point": function.name,
        "concepts": [],
        "origin": "corpus",
        "verdict": "passed" if tests else "unproved",
    }
    return exercise((function.prompt, function.solution), f"{source}#{function.name}", **meta)


def _duplicates(mined: Sequence[Path]) -> dict[Path, frozenset[int]]:
    """The rows of each shard whose form an earlier row has."""
    seen: set[str] = set()
    repeats: dict[Path, frozenset[int]] = {}
    for path in mined:
        rows = []
        for row, form in enumerate(read_table(path, ["form"])["form"].to_pylist()):
            if form in seen:
                rows.append(row)
            seen.add(form)
        repeats[path] = frozenset(rows)
    return repeats


def prove_shard(job: CorpusJob) -> Counts:
    """Run the doctests of one shard of mined functions, or just the function where it has none."""
    mined = documents(read_table(job.path))
    dropped = [Drop(mined[row], "duplicate", "the same body came earlier") for row in sorted(job.duplicates)]
    first = [document for row, document in enumerate(mined) if row not in job.duplicates]
    kept: list[Document] = []
    with job.sandbox(mode="fast", workers=1, limits=Limits(cpu_seconds=job.config.cpu_seconds)) as sandbox:
        for document, verdict in zip(first, sandbox.verdicts(map(_program, first)), strict=True):
            if verdict.passed:
                kept.append(document)
            else:
                reason = "doctest_failed" if document.meta["tests"] else "does_not_run"
                dropped.append(Drop(document, reason, f"{verdict.outcome}: {verdict.reason}"))
    proved = sum(document.meta["verdict"] == "passed" for document in kept)
    return write_shard(job.out, job.path.name, kept, dropped, {"proved": proved})


# ---- teacher


def _from_teacher(config: ExercisesConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    if tools.teacher is None or tools.sandbox is None:
        raise StageError('exercises: source = "teacher" needs a teacher; name one in the recipe')
    asked = themes(config.asks, tools.seed)
    answers = list(_answers(config, asked, tools))
    read = [(theme, text, read_answer(text, theme.name)) for theme, text in answers if isinstance(text, str)]
    written = [(theme, text, said) for theme, text, said in read if isinstance(said, Written)]
    dropped = [
        Drop(_raw(t, text), said.reason, said.detail) for t, text, said in read if isinstance(said, Unusable)
    ]
    failed = [(theme, said) for theme, said in answers if isinstance(said, Failed)]
    dropped += [Drop(_raw(theme, ""), f"teacher_{said.reason}", said.detail) for theme, said in failed]
    kept: list[Document] = []
    with tools.sandbox(mode="strict", limits=Limits(cpu_seconds=config.cpu_seconds)) as sandbox:
        for theme, text, said in written:
            document = _taught(theme, said)
            reason, detail = _refutation(document, said, sandbox)
            if reason:
                dropped.append(Drop(_raw(theme, text), reason, detail))
            else:
                kept.append(document)
    return write_shard(out, shard_name(0), kept, dropped, {"asked": len(asked)})


def _answers(
    config: ExercisesConfig, asked: Sequence[Theme], tools: Tools
) -> Iterator[tuple[Theme, str | Failed]]:
    """What the teacher said to each theme, raw."""
    assert tools.teacher is not None
    prompt = load_prompt(config.prompt, ("name", "concept"))
    asks = [
        Ask(
            messages=prompt.fill(name=theme.name, concept=theme.concept),
            max_answer_tokens=config.max_answer_tokens,
            temperature=config.temperature,
            seed=tools.seed,
        )
        for theme in asked
    ]
    cap = FailureCap("exercises", len(asks), config.max_failed_share)
    with tools.teacher() as teacher, tools.progress.bar("asking", len(asks), "functions") as bar:
        for theme, answer in zip(
            asked, answer_all(teacher, asks, on_done=lambda _: bar.advance()), strict=True
        ):
            if isinstance(answer, Answer):
                yield theme, answer.text
            else:
                cap.count(answer)
                yield theme, answer


def _raw(theme: Theme, text: str) -> Document:
    meta = {"name": theme.name, "concepts": [theme.concept], "origin": "teacher"}
    return Document(text, f"teacher/{theme.name}", "exercise", meta)


def _taught(theme: Theme, written: Written) -> Document:
    meta = {
        "name": theme.name,
        "tests": written.tests,
        "entry_point": theme.name,
        "concepts": [theme.concept],
        "origin": "teacher",
        "verdict": "passed",
    }
    return exercise((written.prompt, written.solution), f"teacher/{theme.name}", **meta)


def _refutation(document: Document, written: Written, sandbox: Any) -> tuple[str, str]:
    """(reason, detail) where the solution fails the tests, or a body that does nothing passes them."""
    verdict = sandbox.verdict(_program(document))
    if not verdict.passed:
        return "tests_failed", f"{verdict.outcome}: {verdict.reason}"
    stub = Program(f"{written.prompt}    return None\n", written.tests, document.meta["entry_point"])
    if sandbox.verdict(stub).passed:
        return "stub_passes", "a body of `return None` passes the tests too"
    return "", ""


SOURCES: Mapping[str, Callable[[ExercisesConfig, Mapping[str, Path], Path, Tools], Counts]] = {
    "grammar": _from_grammar,
    "corpus": _from_corpus,
    "teacher": _from_teacher,
}
