"""Two models on the same problems: paired differences, and a sentence that claims no more than they show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from typing import Any

from hornbook.benchmarks.scores import Interval, paired_difference
from hornbook.core.records import to_json


@dataclass(frozen=True, slots=True)
class Measure:
    """A number each problem has: its key in scores.json, its name, and which way is better."""

    key: str
    name: str
    higher_is_better: bool
    problem_key: str


MEASURES = (
    Measure(
        "character_probability",
        "probability per character of the gold solutions",
        True,
        "character_probability",
    ),
    Measure("bits_per_byte", "bits per byte of the gold solutions", False, "bits_per_byte"),
    Measure("over_mutants", "share of wrong versions that the gold solution beats", True, "over_mutants"),
    Measure("pass_at_1", "pass@1", True, "passed"),
)


OWN = ("heldout", "emergence")
"""What is no benchmark of other people's: the answer of a report does not rest on it where it has another."""

TITLES = {
    "humaneval": "HumanEval",
    "heldout": "Held-out exercises",
    "emergence": "Probes of unseen libraries",
    "layers": "Tasks of three layers",
}


def in_order(benchmarks: Iterable[str]) -> list[str]:
    """Benchmarks by name, then hornbook's own exercises and probes."""
    return sorted(benchmarks, key=lambda name: (OWN.index(name) if name in OWN else -1, name))


def verdict(low: float, high: float, higher_is_better: bool) -> str:
    """better, worse or cannot tell: the sign of a difference, only where its whole interval has it."""
    if low <= 0 <= high:
        return "cannot tell"
    return "better" if (low > 0) == higher_is_better else "worse"


def replicas(recipe: Mapping[str, Any], models: Iterable[str]) -> dict[str, list[str]]:
    """Models that differ in nothing but their seed, under the name of the first of them."""
    first: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for name in models:
        arm, _, state = name.rpartition(".")
        plan = recipe.get("arms", {}).get(arm)
        made = to_json([state, {k: v for k, v in plan.items() if k != "seed"}]) if plan else name
        found.setdefault(first.setdefault(made, name), []).append(name)
    return found


def pairs(models: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(ours, theirs) to compare.

    Each base with the first arm's base, each finetuned model with its own base, and the last of our models with each
    model made elsewhere.
    """
    bases = [name for name in models if name.endswith(".base")]
    yield from ((name, bases[0]) for name in bases[1:])
    own = list(bases)
    for name in models:
        arm, _, state = name.rpartition(".")
        if state == "finetuned" and f"{arm}.base" in models:
            own.append(name)
            yield name, f"{arm}.base"
    yield from ((own[-1], name) for name in models if own and name not in own)


def comparisons(
    models: Mapping[str, Mapping[str, Any]], groups: Mapping[str, list[str]], seed: int
) -> list[dict[str, Any]]:
    """Every pair on every measure of every benchmark that both have: difference [value, low, high] and verdict."""
    found = (
        _compare(
            _Side(ours, groups[ours], models), _Side(theirs, groups[theirs], models), benchmark, measure, seed
        )
        for ours, theirs in pairs(list(groups))
        for benchmark in in_order(models[ours]["benchmarks"])
        if benchmark in models[theirs]["benchmarks"]
        for measure in MEASURES
        if all(models[m]["benchmarks"][benchmark].get(measure.key) for m in (*groups[ours], *groups[theirs]))
    )
    return [comparison for comparison in found if comparison]


def compare_two(
    ours: tuple[str, Mapping[str, Any]],
    theirs: tuple[str, Mapping[str, Any]],
    benchmark: str,
    measure: Measure,
    seed: int,
) -> dict[str, Any] | None:
    """Two models (name, scores) on one measure; None where one of them does not have it."""
    models = dict((ours, theirs))
    if not all(scores["benchmarks"][benchmark].get(measure.key) for scores in models.values()):
        return None
    sides = [_Side(name, [name], models) for name, _ in (ours, theirs)]
    return _compare(sides[0], sides[1], benchmark, measure, seed)


@dataclass(frozen=True)
class _Side:
    """One of the two that are compared: its name and its runs, which differ in nothing but their seed."""

    name: str
    runs: Sequence[str]
    models: Mapping[str, Mapping[str, Any]]

    def values(self, benchmark: str, key: str) -> list[dict[str, float]]:
        """Problem -> value, a run each."""
        return [
            {
                id_: float(row[key])
                for id_, row in self.models[run]["benchmarks"][benchmark]["by_problem"].items()
                if key in row
            }
            for run in self.runs
        ]


def _compare(
    ours: _Side, theirs: _Side, benchmark: str, measure: Measure, seed: int
) -> dict[str, Any] | None:
    mine = ours.values(benchmark, measure.problem_key)
    other = theirs.values(benchmark, measure.problem_key)
    if not _mean(mine).keys() & _mean(other).keys():
        return None  # probes of different libraries
    found = paired_difference(_mean(mine), _mean(other), seed)
    shared = sorted(_mean(mine).keys() & _mean(other).keys())
    over_runs = run_interval([fmean(run.values()) for run in mine], [fmean(run.values()) for run in other])
    intervals = [found, *([over_runs] if over_runs else [])]
    mixed = sorted(
        {str(one.models[run].get("trained_in", "")) for one in (ours, theirs) for run in one.runs} - {""}
    )
    verdicts = {verdict(one.low, one.high, measure.higher_is_better) for one in intervals}
    return {
        "ours": ours.name,
        "theirs": theirs.name,
        "benchmark": benchmark,
        "measure": measure.key,
        "name": measure.name,
        "higher_is_better": measure.higher_is_better,
        "problems": len(shared),
        "means": [fmean(_mean(side)[id_] for id_ in shared) for side in (mine, other)],
        "difference": [found.value, found.low, found.high],
        "runs": [len(mine), len(other)],
        "over_runs": [over_runs.value, over_runs.low, over_runs.high] if over_runs else None,
        "verdict": verdicts.pop() if len(verdicts) == len(mixed or verdicts) == 1 else "cannot tell",
        "refused": f"trained in {' and '.join(mixed)}, which are not compared" if len(mixed) > 1 else "",
    }


def _mean(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Problem -> its mean over the runs."""
    shared = set.intersection(*(set(run) for run in runs))
    return {id_: fmean(run[id_] for run in runs) for id_ in sorted(shared)}


def run_interval(ours: Sequence[float], theirs: Sequence[float]) -> Interval | None:
    """The difference of two means over runs with its 95% interval by Student's t, the spread of both sides pooled.

    None where neither side was run twice: then nothing is known of the spread.
    """
    freedom = len(ours) + len(theirs) - 2
    if freedom < 1:
        return None
    from scipy.stats import t as student

    squares = sum((value - fmean(side)) ** 2 for side in (ours, theirs) for value in side)
    error = sqrt(squares / freedom * (1 / len(ours) + 1 / len(theirs)))
    difference, half = fmean(ours) - fmean(theirs), float(student.ppf(0.975, freedom)) * error
    return Interval(difference, difference - half, difference + half)
