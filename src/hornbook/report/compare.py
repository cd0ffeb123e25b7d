"""Two models on the same problems: paired differences, and a sentence that claims no more than they show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean
from typing import Any

from hornbook.core.records import to_json
from hornbook.core.scores import Interval, paired_difference


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
    precisions = sorted(
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
        "verdict": verdicts.pop() if len(verdicts) == 1 and len(precisions) <= 1 else "cannot tell",
        "refused": f"trained in {' and '.join(precisions)}, which are not compared"
        if len(precisions) > 1
        else "",
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


COUNTED = ("temperature", "top_p", "samples", "stop_rule", "max_answer_tokens", "boundaries")
"""Settings that must agree before pass rates can be compared."""


def stand(
    name: str, scores: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]], seed: int
) -> dict[str, Any]:
    """scores: a row a model and benchmark; differences: the model minus each other; notes: what to mind."""
    name = f"{name} here" if name in others else name
    rows = [
        row
        for benchmark in scores["benchmarks"]
        for one, told in ((name, scores), *others.items())
        if benchmark in told["benchmarks"]
        for row in [_row(one, benchmark, told["benchmarks"][benchmark])]
    ]
    differences = [
        _difference(other, benchmark, found)
        for other, told in others.items()
        for benchmark in scores["benchmarks"]
        if benchmark in told["benchmarks"]
        for measure in MEASURES
        if (found := compare_two((name, scores), (other, told), benchmark, measure, seed))
    ]
    return {"scores": _level(rows), "differences": differences, "notes": list(_notes(scores, others))}


def _row(model: str, benchmark: str, scored: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"model": model, "benchmark": benchmark, "problems": scored["problems"]}
    for k, value in scored["pass_at"].items():
        found[f"pass@{k}"] = _percent(value)
    for key, title in (
        ("bits_per_byte", "bits per byte"),
        ("character_probability", "probability a character"),
    ):
        found[title] = _number(scored[key])
    if "margin" in scored:
        found["wrong versions beaten"] = _percent(scored["over_mutants"])
    return found


def _level(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every row with the columns of all."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [{column: row.get(column, "-") for column in columns} for row in rows]


def _difference(other: str, benchmark: str, found: Mapping[str, Any]) -> dict[str, Any]:
    value, low, high = found["difference"]
    return {
        "against": other,
        "benchmark": benchmark,
        "measure": found["name"],
        "difference": f"{value:+.3f} [{low:+.3f}, {high:+.3f}]",
        "so it is": found["verdict"] + (f" ({found['refused']})" if found["refused"] else ""),
    }


def _notes(scores: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> list[str]:
    sampling = scores["sampling"]
    unlike = {
        key: told["sampling"].get(key)
        for told in others.values()
        for key in COUNTED
        if told["sampling"].get(key) != sampling[key]
    }
    notes = [
        f"{key} was {value} there and is {sampling[key]} here: pass rates differ by that too"
        for key, value in unlike.items()
    ]
    if all(not scored["bits_per_byte"] for scored in scores["benchmarks"].values()):
        notes.append("this model tells no likelihoods (a server must echo log-probabilities for that)")
    return notes


def _percent(value: Sequence[float]) -> str:
    return f"{value[0]:.1%} [{value[1]:.1%}, {value[2]:.1%}]"


def _number(value: Sequence[float] | None) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]" if value else "-"


ANSWERS = {"better": "Yes", "worse": "No", "cannot tell": "Cannot tell"}


def headline(models: Mapping[str, Any], comparisons: list[dict[str, Any]]) -> dict[str, Any]:
    """Yes, no or cannot tell; `on` is the comparison that says so, `rivals` how many arms it was the best of.

    It rests on the first arm against each other, before finetuning, by the probability of the gold
    solutions: the measure that says most at small scale. A yes or no without a second seed is one "in this run".
    """
    told = [c for c in comparisons if c["ours"].endswith(".base") and c["measure"] == "character_probability"]
    first = [c for c in told if c["benchmark"] not in OWN] or told
    first = [c for c in first if c["benchmark"] == first[0]["benchmark"]]
    if not first:
        return {"answer": "Nothing to compare" if models else "No model was trained", "on": None, "rivals": 0}
    best = max(first, key=lambda c: c["difference"][0])
    answer = ANSWERS[best["verdict"]]
    if best["verdict"] != "cannot tell" and not best["over_runs"]:
        answer += ", in this run"
    return {"answer": answer, "on": best, "rivals": len({c["ours"] for c in first})}


def in_words(found: Mapping[str, Any]) -> str:
    """The headline of results.json as plain text, for a terminal."""
    on = found["headline"]["on"]
    if not on:
        return f"{found['headline']['answer']}."
    sides = [
        f"{on[side]}{f' (mean of {runs} runs)' if runs > 1 else ''}"
        for side, runs in zip(("ours", "theirs"), on["runs"], strict=True)
    ]
    value, low, high = on["difference"]
    bounds = f"95% interval {low:+.4f} to {high:+.4f} over problems"
    if on["over_runs"]:
        bounds += ", {:+.4f} to {:+.4f} over runs".format(*on["over_runs"][1:])
    else:
        bounds += ", one training of each"
    return (
        f"Was the better data better? {found['headline']['answer']}. To the characters of "
        f"{TITLES.get(on['benchmark'], on['benchmark'])}'s own solutions {sides[0]} gives a probability of "
        f"{on['means'][0]:.3f}, {sides[1]} {on['means'][1]:.3f}: {value:+.4f} ({bounds})."
        f"{f' The two were {refused}.' if (refused := on.get('refused')) else ''}"
    )
