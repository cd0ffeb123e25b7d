"""report: one page and one JSON that say what was made, and whether the better data was better."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hornbook.core.context import Tools
from hornbook.core.settings import Config
from hornbook.core.shards import Counts, write_bytes, write_json


class ReportConfig(Config):
    """The resolved recipe that the run was made from."""

    recipe: dict[str, Any]
    """Every setting, defaults included, as the page shows it."""


def identity(config: ReportConfig, cache: Path) -> Mapping[str, str]:
    """The page's template and style."""
    from hornbook.report.page import templates_hash

    return {"templates": templates_hash()}


def run(config: ReportConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Write report.html (self-contained) and results.json; `inputs` maps every step's key to its folder."""
    from hornbook.report.page import render
    from hornbook.report.results import results

    found = results(config.recipe, inputs, tools.seed)
    write_json(out / "results.json", found)
    write_bytes(out / "report.html", render(found, inputs, tools.seed).encode())
    return {"steps": len(inputs), "models": len(found["models"]), "comparisons": len(found["comparisons"])}
