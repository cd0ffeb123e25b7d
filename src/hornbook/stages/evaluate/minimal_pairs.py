"""Margins: is a problem's own solution likelier than small wrong versions of it? A test with resolution at any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from hornbook.benchmarks.postprocess import program
from hornbook.benchmarks.problem import Problem, problems_hash
from hornbook.core.progress import Progress
from hornbook.core.records import text_id
from hornbook.core.scores import mean_interval, share_interval, triple
from hornbook.core.shards import read_json, write_json
from hornbook.sandbox import Sandbox
from hornbook.stages.evaluate.evaluator import Evaluator
from hornbook.text.mutants import mutants

VERSION = 1
DRAWN_FOR_ONE = 2
"""Mutants that are executed for each that is wanted: some behave like the original."""
CPU_SECONDS = 1.0
"""What a mutant may take; one that takes longer proves nothing and does not count."""


def failing_mutants(
    problems: Sequence[Problem], count: int, sandbox: Sandbox, cache: Path, progress: Progress
) -> dict[str, list[str]]:
    """Problem -> at most `count` completions, one mistake each, that the sandbox saw failing; kept in `cache`."""
    path = cache / "mutants" / f"{text_id(f'{VERSION}:{count}:{problems_hash(problems)}')}.json"
    if not path.exists():
        write_json(path, _judged(problems, count, sandbox, progress))
    wrong: dict[str, list[str]] = read_json(path)
    return wrong


def _judged(
    problems: Sequence[Problem], count: int, sandbox: Sandbox, progress: Progress
) -> dict[str, list[str]]:
    drawn = [(p, one) for p in problems for one in _completions(p, DRAWN_FOR_ONE * count)]
    found: dict[str, list[str]] = {p.id: [] for p in problems}
    verdicts = sandbox.verdicts(program(p, text, CPU_SECONDS) for p, text in drawn)
    with progress.bar("judge mutants", len(drawn), "programs") as bar:
        for (problem, text), verdict in zip(drawn, verdicts, strict=True):
            if verdict.outcome == "failed" and len(found[problem.id]) < count:
                found[problem.id].append(text)
            bar.advance()
    return found


def _completions(problem: Problem, count: int) -> list[str]:
    start = len(problem.prompt)
    return [one.source[start:] for one in mutants(problem.prompt + problem.solution, 0, count, start)]


def margins(
    name: str,
    problems: Sequence[Problem],
    evaluator: Evaluator,
    own: Mapping[str, Mapping[str, float]],
    wrong: Mapping[str, Sequence[str]],
) -> dict[str, Any] | None:
    """How the own solutions stand against their failing mutants, by bits per byte; None without likelihoods.

    choice: the share of problems whose own solution is likelier than every mutant (`chance` is what guessing gives);
    over_mutants: the share of mutants that are less likely, a problem's mean; margin_bits: the bits per byte that the
    likeliest mutant costs more.
    """
    asked = {f"{p.id}#{n}": (p.prompt, text) for p in problems for n, text in enumerate(wrong.get(p.id, ()))}
    told = evaluator.gold(f"{name}.mutants", asked) if asked else {}
    if not told:
        return None
    gaps = {
        p.id: [
            told[f"{p.id}#{n}"]["bits_per_byte"] - own[p.id]["bits_per_byte"] for n in range(len(wrong[p.id]))
        ]
        for p in problems
        if wrong.get(p.id)
    }
    shares = {id_: fmean(gap > 0 for gap in found) for id_, found in gaps.items()}
    seed = evaluator.drawing.seed
    return {
        "problems": len(gaps),
        "mutants": len(told),
        "chance": fmean(1 / (1 + len(found)) for found in gaps.values()),
        "choice": triple(share_interval([float(min(found) > 0) for found in gaps.values()], seed)),
        "over_mutants": triple(share_interval(list(shares.values()), seed)),
        "margin_bits": triple(mean_interval([min(found) for found in gaps.values()], seed)),
        "by_problem": shares,
    }


def add_margins(scored: dict[str, Any], found: Mapping[str, Any] | None) -> None:
    """Put margins into a benchmark's scores: a measure of its own, with a value for each problem that has mutants."""
    if found is None:
        return
    scored["over_mutants"] = found["over_mutants"]
    scored["margin"] = {name: value for name, value in found.items() if name != "by_problem"}
    for id_, share in found["by_problem"].items():
        scored["by_problem"][id_]["over_mutants"] = share
