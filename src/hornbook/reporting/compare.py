"""Two models on the same problems: paired differences, and a sentence that claims no more than they show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hornbook.benchmarks.scores import paired_difference


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
    Measure("pass_at_1", "pass@1", True, "passed"),
)


def in_order(benchmarks: Iterable[str]) -> list[str]:
    """Benchmarks by name, the held-out exercises last."""
    return sorted(benchmarks, key=lambda name: (name == "heldout", name))


def verdict(low: float, high: float, higher_is_better: bool) -> str:
    """better, worse or cannot tell: the sign of a difference, only where its whole interval has it."""
    if low <= 0 <= high:
        return "cannot tell"
    return "better" if (low > 0) == higher_is_better else "worse"


def pairs(models: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(ours, theirs) to compare: each base with the first arm's base, each finetuned model with its own base."""
    bases = [name for name in models if name.endswith(".base")]
    yield from ((name, bases[0]) for name in bases[1:])
    for name in models:
        arm, _, state = name.rpartition(".")
        if state == "finetuned" and f"{arm}.base" in models:
            yield name, f"{arm}.base"


def comparisons(models: Mapping[str, Mapping[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Every pair on every measure of every benchmark that both have: difference [value, low, high] and verdict."""
    return [
        _compare(models, ours, theirs, benchmark, measure, seed)
        for ours, theirs in pairs(models)
        for benchmark in in_order(models[ours]["benchmarks"])
        if benchmark in models[theirs]["benchmarks"]
        for measure in MEASURES
    ]


def _compare(
    models: Mapping[str, Mapping[str, Any]],
    ours: str,
    theirs: str,
    benchmark: str,
    measure: Measure,
    seed: int,
) -> dict[str, Any]:
    rows = [models[name]["benchmarks"][benchmark]["by_problem"] for name in (ours, theirs)]
    mine, other = ({id_: float(row[measure.problem_key]) for id_, row in by.items()} for by in rows)
    found = paired_difference(mine, other, seed)
    return {
        "ours": ours,
        "theirs": theirs,
        "benchmark": benchmark,
        "measure": measure.key,
        "name": measure.name,
        "higher_is_better": measure.higher_is_better,
        "problems": len(mine.keys() & other.keys()),
        "difference": [found.value, found.low, found.high],
        "verdict": verdict(found.low, found.high, measure.higher_is_better),
    }
