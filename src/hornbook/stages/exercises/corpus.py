"""The source "corpus": documented functions that stand on their own, with their imports, proved by their doctests."""

from __future__ import annotations

import ast
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hornbook.benchmarks.exercise import Exercise
from hornbook.core.context import Tools
from hornbook.core.records import Document, Drop, documents, documents_table, text_id
from hornbook.core.shards import (
    DROPPED,
    Counts,
    add_counts,
    read_documents,
    read_json,
    read_table,
    run_shards,
    shards,
    write_shard,
    write_table,
)
from hornbook.sandbox import Limits
from hornbook.stages.exercises.proof import MUTANT_LIMITS, Mutation, mutation, stub_passes
from hornbook.stages.exercises.tested import (
    AskingConfig,
    believed,
    mutation_of,
    stand_ins,
    tests_prompt_hash,
    with_tests,
)
from hornbook.tasks.mined import body_nodes, doctest_check, normal_form
from hornbook.teachers import Forecast, Teacher
from hornbook.text.code import Function, parse, self_contained_functions

MINED = "mined"
PROVED = "proved"


class CorpusConfig(AskingConfig):
    """Functions mined from the deduplicated corpus; where they have no doctests, a teacher may write tests."""

    source: Literal["corpus"]
    min_body_nodes: int = Field(12, ge=1)
    """A body of fewer syntax nodes is trivial."""
    max_chars: int = Field(3_000, ge=100)
    """Prompt and solution together."""
    ask_for_tests: int = Field(0, ge=0)
    """The teacher writes tests for so many functions that have no doctests, drawn by a seeded hash."""

    @property
    def asks_teacher(self) -> bool:
        return self.ask_for_tests > 0


@dataclass(frozen=True)
class CorpusJob:
    """One shard of the corpus to mine, or of mined functions to execute without the `duplicates` among them."""

    path: Path
    out: Path
    config: CorpusConfig
    seed: int
    sandbox: Callable[..., Any]
    duplicates: frozenset[int] = frozenset()


def identity(config: CorpusConfig) -> Mapping[str, str]:
    """The hash of the prompt that asks for tests, where it is asked."""
    return {"tests_prompt": tests_prompt_hash(config)} if config.asks_teacher else {}


def asks(config: CorpusConfig, inputs: Mapping[str, Path], seed: int) -> Forecast:
    """Stand-ins for the asks for tests: which functions have none is known once they are mined."""
    tests = stand_ins(config, config.ask_for_tests, seed)
    return Forecast((tests,), "which functions have no doctests is known once they are mined")


def known_concepts(config: CorpusConfig) -> int:
    """Constructs that are told apart."""
    return len(ALL_CONSTRUCTS)


def make(config: CorpusConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Mine, find duplicates, execute, and where it is wanted have tests written for what has none."""
    assert tools.sandbox is not None
    found = out / MINED
    proved = out / PROVED if config.asks_teacher else out
    job = CorpusJob(Path(), found, config, tools.seed, tools.sandbox)
    mining = {path.name: replace(job, path=path) for path in shards(inputs["documents"])}
    mined = run_shards("mining", mine_shard, mining, found, tools)
    repeats = _duplicates(shards(found))
    proving = {
        path.name: replace(job, path=path, out=proved, duplicates=repeats[path]) for path in shards(found)
    }
    counts = run_shards("proving", prove_shard, proving, proved, tools)
    shutil.rmtree(found)
    if config.asks_teacher:
        counts = _have_tests_written(config, proved, out, tools)
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
                made.append(_mined(function).document(f"{document.source}#{function.name}"))
                forms.append(text_id(normal_form(function.body)))
    return write_shard(job.out, job.path.name, documents_table(made, form=forms), counts=skipped)


def _unfit(function: Function, config: CorpusConfig) -> str:
    """Why a function is no candidate; empty where it is one."""
    if len(function.prompt) + len(function.solution) > config.max_chars:
        return "too_long"
    if body_nodes(function) < config.min_body_nodes:
        return "trivial"
    return ""


def _mined(function: Function) -> Exercise:
    return Exercise(
        name=function.name,
        prompt=function.prompt,
        solution=function.solution,
        tests=doctest_check(function),
        source="corpus",
        verdict="unproved",
        concepts=constructs(function.prompt + function.solution),
    )


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
    running: list[tuple[Exercise, str]] = []
    with job.sandbox(mode="fast", workers=1, limits=Limits(cpu_seconds=job.config.cpu_seconds)) as sandbox:
        exercises = [Exercise.of(document) for document in first]
        verdicts = sandbox.verdicts(exercise.program for exercise in exercises)
        for document, exercise, verdict in zip(first, exercises, verdicts, strict=True):
            if verdict.passed:
                running.append((exercise, document.source))
            else:
                reason = "doctest_failed" if exercise.tests else "does_not_run"
                dropped.append(Drop(document, reason, f"{verdict.outcome}: {verdict.reason}"))
        proving = [exercise for exercise, _ in running if exercise.tests]
        empty = dict(zip([e.text for e in proving], stub_passes(proving, sandbox), strict=True))
    tried = _mutation([e for e in proving if not empty[e.text]], job)
    kept = [(_proved(exercise, empty, tried), place) for exercise, place in running]
    counts = {
        "proved": len(tried),
        "doctests_prove_nothing": sum(empty.values()),
        **sum(tried.values(), Mutation()).counts(),
    }
    return write_shard(job.out, job.path.name, [e.document(place) for e, place in kept], dropped, counts)


def _mutation(proved: Sequence[Exercise], job: CorpusJob) -> dict[str, Mutation]:
    """Text -> how its doctests fare against wrong versions of it."""
    if not proved:
        return {}
    with job.sandbox(mode="fast", workers=1, limits=MUTANT_LIMITS) as sandbox:
        found = mutation(proved, job.seed, job.config.mutants, sandbox)
    return dict(zip([exercise.text for exercise in proved], found, strict=True))


def _proved(exercise: Exercise, empty: Mapping[str, bool], tried: Mapping[str, Mutation]) -> Exercise:
    """The exercise with what its doctests are worth: those that a body without a deed passes are no tests."""
    if empty.get(exercise.text, True):
        return replace(exercise, tests="")
    return replace(exercise, verdict="passed", more={**exercise.more, **tried[exercise.text].counts()})


# ---- tests by a teacher


def _have_tests_written(config: CorpusConfig, proved: Path, out: Path, tools: Tools) -> Counts:
    """Ask for tests of some functions without, shard by shard; tests that prove nothing leave a function as it was."""
    assert tools.teacher is not None
    asked = _drawn(config, proved, tools.seed)
    done = []
    with tools.teacher() as teacher:
        for path in shards(proved):
            done.append(out / "counts" / f"{path.name}.json")
            if not done[-1].exists():
                _write_tests(config, (teacher, tools), path, out, asked)
    shutil.rmtree(proved)
    return add_counts(map(read_json, done))


def _drawn(config: CorpusConfig, proved: Path, seed: int) -> frozenset[str]:
    """The ids of the functions that tests are asked for."""
    ranked = sorted(
        (text_id(f"{seed}:{document.id}"), document.id)
        for document in read_documents(proved)
        if document.meta["verdict"] == "unproved"
    )
    return frozenset(id_ for _, id_ in ranked[: config.ask_for_tests])


def _write_tests(
    config: CorpusConfig, means: tuple[Teacher, Tools], path: Path, out: Path, asked: frozenset[str]
) -> None:
    """One shard, its functions in their order, those with believed tests as proved."""
    teacher, tools = means
    found = documents(read_table(path))
    untested = [Exercise.of(document) for document in found if document.id in asked]
    tried = believed(config, with_tests(config, untested, teacher, tools), tools)
    proved = {one.exercise.text: one.exercise for one in tried if not one.refusal}
    kept = [proved[d.text].document(d.source) if d.text in proved else d for d in found]
    counts = Counter(read_json(path.parents[1] / "counts" / f"{path.name}.json"))
    counts.update(asked=len(untested), proved=len(proved), **mutation_of(proved.values()).counts())
    counts.update(f"tests_refused.{one.refusal.reason}" for one in tried if one.refusal)
    dropped = path.parents[1] / DROPPED / path.name
    if dropped.exists():
        write_table(out / DROPPED / path.name, read_table(dropped))
    write_shard(out, path.name, kept, counts={**counts, "kept": len(kept)})


TEXT_METHODS = frozenset(name for name in dir(str) if not name.startswith("_")) - {"count", "index"}
"""Methods of strings; those that lists have too say nothing."""
ARITHMETIC = (ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Pow, ast.MatMult)
CALLED = {"list": "lists", "dict": "dictionaries", "set": "sets", "frozenset": "sets", "tuple": "tuples"}
CALLED |= {"str": "strings", "ord": "strings", "chr": "strings", "sorted": "sorting", "map": "functional"}
CALLED |= {"int": "numbers", "float": "numbers", "sum": "numbers", "abs": "numbers", "filter": "functional"}
NODES: Mapping[type[ast.AST], str] = {
    ast.For: "loops",
    ast.While: "loops",
    ast.If: "conditions",
    ast.IfExp: "conditions",
    ast.ListComp: "comprehensions",
    ast.GeneratorExp: "comprehensions",
    ast.DictComp: "dictionaries",
    ast.SetComp: "sets",
    ast.List: "lists",
    ast.Dict: "dictionaries",
    ast.Set: "sets",
    ast.JoinedStr: "strings",
    ast.Slice: "slicing",
    ast.Lambda: "functional",
    ast.Try: "exceptions",
    ast.Raise: "exceptions",
    ast.With: "context managers",
    ast.Yield: "generators",
    ast.YieldFrom: "generators",
    ast.ClassDef: "classes",
}


def constructs(source: str) -> tuple[str, ...]:
    """The constructs that a program uses, sorted; empty where it does not parse."""
    tree = parse(source)
    found: set[str] = set()
    for node in ast.walk(tree) if tree else ():
        kind = NODES.get(type(node))
        found |= {kind} if kind else set()
        found |= {name for name, is_one in OTHERS.items() if is_one(node)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLED:
            found.add(CALLED[node.func.id])
    return tuple(sorted(found))


def _is_recursive(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and any(
        isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id == node.name
        for inner in ast.walk(node)
    )


def _is_text_method(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TEXT_METHODS
    )


def _is_sorting(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sort"


def _is_arithmetic(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ARITHMETIC)


def _is_tuple(node: ast.AST) -> bool:
    return isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load)


OTHERS: Mapping[str, Callable[[ast.AST], bool]] = {
    "recursion": _is_recursive,
    "strings": _is_text_method,
    "sorting": _is_sorting,
    "numbers": _is_arithmetic,
    "tuples": _is_tuple,
}
ALL_CONSTRUCTS = frozenset({*NODES.values(), *CALLED.values(), *OTHERS})
