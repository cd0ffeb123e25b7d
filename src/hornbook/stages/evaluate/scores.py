"""What attempts and likelihoods on one benchmark are worth: scores with 95% intervals over its problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hornbook.benchmarks.postprocess import shown
from hornbook.benchmarks.problem import Problem
from hornbook.core.scores import (
    Interval,
    mean_interval,
    pass_at_k,
    ratio_interval,
    share_interval,
    triple,
    wilson,
)
from hornbook.stages.evaluate.evaluator import Evaluator, by_problem, gold_pairs

Attempt = Mapping[str, Any]


def score_suite(
    name: str, problems: Sequence[Problem], evaluator: Evaluator, ks: Sequence[int], boundaries: Sequence[str]
) -> dict[str, Any]:
    """All numbers of one benchmark; the first boundary is the one that counts, the others stand beside it."""
    found = {}
    for number, boundary in enumerate(boundaries):
        label = f"{name}.{boundary}" if number else name
        moved = [shown(problem, boundary) for problem in problems]
        attempts = evaluator.attempts(label, moved)
        gold = evaluator.gold(label, gold_pairs(moved))
        found[boundary] = summary(problems, attempts, gold, ks, evaluator.drawing.seed)
    first = found[boundaries[0]]
    measures = ("pass_at_1", "bits_per_byte", "character_probability", "failures")
    others = {
        boundary: {measure: scored[measure] for measure in measures} for boundary, scored in found.items()
    }
    return {**first, "boundaries": others}


def summary(
    problems: Sequence[Problem],
    attempts: Sequence[Attempt],
    gold: Mapping[str, Mapping[str, float]],
    ks: Sequence[int],
    seed: int,
) -> dict[str, Any]:
    """Scores, failures by kind, concepts, and every problem's values for paired comparisons.

    Likelihoods are None where the model does not tell them. pass@1 of one attempt a problem has Wilson's interval,
    everything else the bootstrap's.
    """
    tried = {id_: _tried(rows) for id_, rows in by_problem(attempts).items()}
    counts = [tried[problem.id] for problem in problems]
    samples = min(n for n, _ in counts)
    at = {str(k): triple(_pass_at(counts, k, seed)) for k in ks if k <= samples}
    return {
        "problems": len(problems),
        "samples": samples,
        "attempts": len(attempts),
        "passed": sum(passed for _, passed in counts),
        "pass_at_1": triple(_pass_at(counts, 1, seed)),
        "pass_at": at,
        **_likelihoods([gold[problem.id] for problem in problems if problem.id in gold], seed),
        "failures": dict(Counter(a["failure"] for a in attempts if a["failure"]).most_common()),
        "concepts": _by_concept(problems, tried),
        "by_problem": {
            problem.id: {"passed": passed / n, "samples": n, "passes": passed, **gold.get(problem.id, {})}
            for problem, (n, passed) in zip(problems, counts, strict=True)
        },
    }


def _tried(rows: Sequence[Attempt]) -> tuple[int, int]:
    return len(rows), sum(row["outcome"] == "passed" for row in rows)


def _pass_at(counts: Sequence[tuple[int, int]], k: int, seed: int) -> Interval:
    if all(n == 1 for n, _ in counts):
        return wilson(sum(passed for _, passed in counts), len(counts))
    return share_interval([pass_at_k(n, passed, k) for n, passed in counts], seed)


def _likelihoods(gold: Sequence[Mapping[str, float]], seed: int) -> dict[str, list[float] | None]:
    if not gold:
        return {"bits_per_byte": None, "character_probability": None}
    bits, sizes = [one["bits_per_byte"] * one["bytes"] for one in gold], [one["bytes"] for one in gold]
    return {
        "bits_per_byte": triple(ratio_interval(bits, sizes, seed)),
        "character_probability": triple(mean_interval([one["character_probability"] for one in gold], seed)),
    }


def _by_concept(problems: Sequence[Problem], tried: Mapping[str, tuple[int, int]]) -> dict[str, list[int]]:
    """Concept -> [attempts that passed, attempts]."""
    found: dict[str, list[int]] = {}
    for problem in problems:
        n, passed = tried[problem.id]
        for concept in problem.concepts:
            counts = found.setdefault(concept, [0, 0])
            counts[0] += passed
            counts[1] += n
    return found
