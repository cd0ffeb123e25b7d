"""One model beside the models of a run: rows for a person, differences that claim no more than they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hornbook.reporting.compare import MEASURES, compare_two

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
