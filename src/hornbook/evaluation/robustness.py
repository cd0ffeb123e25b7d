"""Robustness: what a model loses when a prompt says the same in another way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from hornbook.benchmarks.attempts import program
from hornbook.benchmarks.perturb import PERTURBATIONS, perturb
from hornbook.benchmarks.problem import Problem
from hornbook.benchmarks.scores import paired_difference, triple
from hornbook.evaluation.evaluator import Evaluator, by_problem, gold_pairs


def robustness(
    name: str,
    problems: Sequence[Problem],
    evaluator: Evaluator,
    before: Mapping[str, Mapping[str, float]],
    count: int,
) -> dict[str, Any]:
    """For each way of perturbing `count` problems: pass@1 and probability per character before, after, and the drop.

    A drop is paired, problem by problem, with its 95% interval: positive where the model did better on the original.
    A perturbed problem counts once its own solution passed and an empty one failed.
    """
    seed = evaluator.drawing.seed
    drawn = sorted(problems, key=lambda p: hashlib.blake2b(f"{seed}:{p.id}".encode()).digest())[:count]
    kinds = {
        kind: _one_kind(f"{name}.{kind}", _perturbed(kind, drawn, evaluator), evaluator, before)
        for kind in PERTURBATIONS
    }
    return {"problems": len(drawn), "kinds": kinds}


def _perturbed(kind: str, problems: Sequence[Problem], evaluator: Evaluator) -> list[Problem]:
    """The problems that can be perturbed so, each proved to be a problem still."""
    made = [made for p in problems if (made := perturb(p, kind, evaluator.drawing.seed))]
    programs = [program(p, text) for p in made for text in (p.solution, "")]
    passed = [verdict.passed for verdict in evaluator.sandbox.verdicts(programs)]
    return [p for p, right, empty in zip(made, passed[::2], passed[1::2], strict=True) if right and not empty]


def _one_kind(
    label: str, problems: Sequence[Problem], evaluator: Evaluator, before: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    if not problems:
        return {"problems": 0}
    tried = by_problem(evaluator.attempts(label, problems))
    passed = {id_: fmean(row["outcome"] == "passed" for row in rows) for id_, rows in tried}
    gold = evaluator.gold(label, gold_pairs(problems))
    likely = {id_: one["character_probability"] for id_, one in gold.items()}
    return {
        "problems": len(problems),
        "pass_at_1": _drop(passed, before, "passed", evaluator.drawing.seed),
        "character_probability": _drop(likely, before, "character_probability", evaluator.drawing.seed),
    }


def _drop(
    after: Mapping[str, float], before: Mapping[str, Mapping[str, float]], key: str, seed: int
) -> dict[str, Any] | None:
    first = {id_: float(before[id_][key]) for id_ in after if key in before.get(id_, {})}
    if not first:
        return None
    return {
        "before": fmean(first.values()),
        "after": fmean(after[id_] for id_ in first),
        "drop": triple(paired_difference(first, after, seed)),
    }
