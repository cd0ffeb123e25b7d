"""The answer to "was the better data better?", and the comparison that it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hornbook.reporting.compare import OWN, TITLES

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
