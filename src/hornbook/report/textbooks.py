"""What the textbook pages cover and how different they are, for the page: figures, and rows of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hornbook.core.shards import read_json
from hornbook.report.figures import curves, heat_map


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of diversity: its key in diversity.json, its name, and whether more of it is more diverse."""

    key: str
    name: str
    more_is_better: bool
    form: str


MEASURES = (
    Measure("new_per_thousand", "new word 5-grams per thousand tokens", True, "{:.0f}"),
    Measure("distinct_1", "different words among all", True, "{:.3f}"),
    Measure("distinct_2", "different pairs of words among all", True, "{:.3f}"),
    Measure("distinct_3", "different triples of words among all", True, "{:.3f}"),
    Measure("compression", "share of its bytes that all text shrinks to", True, "{:.3f}"),
    Measure("near_duplicates", "pages with a near-copy before them", False, "{:.1%}"),
)


def read_diversity(folders: Mapping[str, Path]) -> dict[str, Any]:
    """What the textbooks step wrote about its pages; empty where there is no such step."""
    path = folders["textbooks"] / "diversity.json" if "textbooks" in folders else Path()
    return dict(read_json(path)) if path.is_file() else {}


def rows(told: Mapping[str, Any]) -> list[dict[str, str]]:
    """Each measure of the written pages and, where there is one, of the plain control, and which is more diverse."""
    written, plain = told["written"], told["plain"]
    found = []
    for measure in MEASURES:
        ours, theirs = written[measure.key], plain[measure.key] if plain else None
        row = {"name": measure.name, "ours": measure.form.format(ours), "plain": "", "said": ""}
        if theirs is not None:
            is_more = ours != theirs and (ours > theirs) == measure.more_is_better
            row["plain"] = measure.form.format(theirs)
            row["said"] = "more diverse" if is_more else "as diverse" if ours == theirs else "less diverse"
        found.append(row)
    return found


def figures(told: Mapping[str, Any]) -> list[Markup]:
    """Kept pages by area and audience, and new content along the way, beside the control where there is one."""
    grid = told["grid"]
    words = [[name.replace("_", " ") or "any" for name in grid[side]] for side in ("areas", "audiences")]
    lines = {"curriculum": ("s1", told["written"]["curve"])}
    if told["plain"]:
        lines["plain prompt"] = ("s0", told["plain"]["curve"])
    drawn = [heat_map((words[0], words[1]), grid["kept"], "Pages kept, by area and reader")]
    if any(len(line) > 1 for _, line in lines.values()):
        caption = "New word 5-grams per thousand tokens, along the set"
        drawn.append(curves(lines, caption, "words and marks written", from_zero=True))
    return drawn
