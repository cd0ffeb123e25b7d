"""Robustness: what a model loses when a prompt says the same in another way, or asks for one thing more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from hornbook.benchmarks.attempts import program
from hornbook.benchmarks.layers import FEWEST, LAYERS, MOST, grown, without_last
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

    A drop is paired, problem by problem, with its 95% interval: positive where the model did better on the original,
    None where one problem alone could show nothing of its spread.
    A perturbed problem counts once its own solution passed and an empty one failed.
    """
    seed = evaluator.drawing.seed
    drawn = sorted(problems, key=lambda p: hashlib.blake2b(f"{seed}:{p.id}".encode()).digest())[:count]
    kinds = {
        kind: _one_kind(f"{name}.{kind}", _perturbed(kind, drawn, evaluator), evaluator, before)
        for kind in PERTURBATIONS
    }
    return {"problems": len(drawn), "kinds": kinds}


def growth(evaluator: Evaluator, count: int) -> dict[str, Any]:
    """For `count` tasks of three layers, what each loses when it has four, five and six; in robustness' form.

    A task counts once its own solution passed at that length, and an empty one and one without the last layer failed.
    """
    before = _measured(f"{LAYERS}.{FEWEST}", _grown(FEWEST, evaluator, count), evaluator)
    kinds = {}
    for layers in range(FEWEST + 1, MOST + 1):
        problems = [p for p in _grown(layers, evaluator, count) if p.id in before]
        kinds[f"{layers}_layers"] = _one_kind(f"{LAYERS}.{layers}", problems, evaluator, before)
    return {"problems": len(before), "kinds": kinds}


def _grown(layers: int, evaluator: Evaluator, count: int) -> list[Problem]:
    made = [grown(number, layers, evaluator.drawing.seed) for number in range(count)]
    return _proved(made, lambda problem: ("", without_last(problem)), evaluator)


def _perturbed(kind: str, problems: Sequence[Problem], evaluator: Evaluator) -> list[Problem]:
    """The problems that can be perturbed so, each proved to be a problem still."""
    made = [made for p in problems if (made := perturb(p, kind, evaluator.drawing.seed))]
    return _proved(made, lambda problem: ("",), evaluator)


def _proved(
    problems: Sequence[Problem], wrong: Callable[[Problem], Sequence[str]], evaluator: Evaluator
) -> list[Problem]:
    """The problems whose own solution passes and whose `wrong` ones all fail."""
    tried = [(p, text, text == p.solution) for p in problems for text in (p.solution, *wrong(p))]
    verdicts = evaluator.sandbox.verdicts(program(p, text) for p, text, _ in tried)
    bad = {p.id for (p, _, right), verdict in zip(tried, verdicts, strict=True) if verdict.passed != right}
    return [problem for problem in problems if problem.id not in bad]


def _one_kind(
    label: str, problems: Sequence[Problem], evaluator: Evaluator, before: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    if not problems:
        return {"problems": 0}
    after = _measured(label, problems, evaluator)
    return {
        "problems": len(problems),
        "pass_at_1": _drop(after, before, "passed", evaluator.drawing.seed),
        "character_probability": _drop(after, before, "character_probability", evaluator.drawing.seed),
    }


def _measured(label: str, problems: Sequence[Problem], evaluator: Evaluator) -> dict[str, dict[str, float]]:
    """Problem's id -> the share of its attempts that passed and, where the model tells it, its likelihood."""
    tried = by_problem(evaluator.attempts(label, problems))
    gold = evaluator.gold(label, gold_pairs(problems))
    return {
        id_: {"passed": fmean(row["outcome"] == "passed" for row in rows), **gold.get(id_, {})}
        for id_, rows in tried.items()
    }


def _drop(
    after: Mapping[str, Mapping[str, float]], before: Mapping[str, Mapping[str, float]], key: str, seed: int
) -> dict[str, Any] | None:
    shared = [id_ for id_ in after if key in after[id_] and key in before.get(id_, {})]
    if not shared:
        return None
    first = {id_: float(before[id_][key]) for id_ in shared}
    second = {id_: float(after[id_][key]) for id_ in shared}
    return {
        "before": fmean(first.values()),
        "after": fmean(second.values()),
        "drop": triple(paired_difference(first, second, seed)) if len(shared) > 1 else None,
    }
