"""The page: results drawn and set in one HTML file that asks nothing of any network."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hornbook.core.records import text_id
from hornbook.report import annotation_and_filter as judging
from hornbook.report import exercises, samples
from hornbook.report import textbooks as diversity
from hornbook.report.compare import MEASURES, TITLES
from hornbook.report.figures import compact, curves, intervals
from hornbook.report.results import losses
from hornbook.report.samples import short_path


def templates_hash() -> str:
    """The content of everything the page is set with."""
    return text_id("".join([*_templates().values(), _style()]))


def render(found: Mapping[str, Any], folders: Mapping[str, Path], seed: int) -> str:
    """The report as HTML; all text from records is escaped."""
    from jinja2 import DictLoader, Environment, StrictUndefined

    pages = Environment(
        loader=DictLoader(_templates()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= FILTERS
    return pages.get_template("report.html.j2").render(
        r=found,
        css=Markup(_style()),  # ours, not a record's
        colour=_colours(found["models"]),
        figures=_figures(found, folders),
        judging=_judging(found["filter"]),
        diversity=_diversity(found["diversity"]),
        faults=exercises.faults(folders, seed),
        written=samples.written(folders, seed),
        contaminated=samples.contaminated(folders, seed),
        attempts=_attempts(found, folders, seed),
        short=SHORT,
        excerpt=samples.excerpt,
    )


def _figures(found: Mapping[str, Any], folders: Mapping[str, Path]) -> dict[str, Any]:
    drawn: dict[str, Any] = {"scores": [], "losses": []}
    drawn["complexities"] = exercises.complexities(found["exercises"])
    models = found["models"]
    colours = _colours(models)
    for benchmark in dict.fromkeys(b for model in models.values() for b in model["benchmarks"]):
        for measure in MEASURES:
            rows = [
                (name, colours[name], model["benchmarks"][benchmark][measure.key])
                for name, model in models.items()
                if model["benchmarks"].get(benchmark, {}).get(measure.key)
            ]
            if not rows:
                continue
            caption = f"{TITLES.get(benchmark, benchmark)}: {SHORT[measure.key]}"
            drawn["scores"].append(
                intervals(rows, caption, percent=measure.key in ("pass_at_1", "over_mutants"))
            )
    for stage, caption in (("pretrain", "Pretraining loss"), ("finetune", "Finetuning loss")):
        lines = {
            arm: (colours.get(f"{arm}.base", "s0"), [(row["tokens"], row["loss"]) for row in losses(folder)])
            for key, folder in folders.items()
            for arm in [key.partition("/")[2]]
            if key.startswith(f"{stage}/")
        }
        if lines:
            drawn["losses"].append(curves(lines, f"{caption}, nats a token", "tokens"))
    return drawn


def _judging(quality: Mapping[str, Any]) -> dict[str, Any]:
    if not quality:
        return {}
    return {
        "figures": judging.figures(quality),
        "learners": judging.LEARNERS,
        "rule": judging.rule(quality),
        "vanished": judging.vanished(quality),
        "importances": judging.importance_rows(quality) if "learners" in quality else [],
        "effects": judging.effect_rows(quality),
        "mixes": {mix: judging.mix_rows(quality, mix) for mix in ("topic", "licence")},
    }


def _diversity(told: Mapping[str, Any]) -> dict[str, Any]:
    return {"rows": diversity.rows(told), "figures": diversity.figures(told)} if told else {}


def _attempts(found: Mapping[str, Any], folders: Mapping[str, Path], seed: int) -> list[dict[str, Any]]:
    """Attempts of the last model, the one that all the work led to."""
    if not found["models"]:
        return []
    own = [name for name, model in found["models"].items() if model["state"] != "elsewhere"]
    name = (own or list(found["models"]))[-1]
    return [
        {**row, "model": name, "benchmark": benchmark}
        for benchmark in found["models"][name]["benchmarks"]
        for row in samples.attempts(folders[f"evaluate/{name}"], benchmark, seed, 2)
    ]


def _colours(models: Mapping[str, Any]) -> dict[str, str]:
    arms = list(dict.fromkeys(model["arm"] for model in models.values()))
    return {name: f"s{arms.index(model['arm']) % 6} {model['state']}" for name, model in models.items()}


def _templates() -> dict[str, str]:
    """The page and its sections, by file name."""
    room = files("hornbook.report")
    found = [room / "report.html.j2", *(room / "sections").iterdir()]
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(found, key=lambda f: f.name)}


def _style() -> str:
    return (files("hornbook.report") / "report.css").read_text(encoding="utf-8")


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


SHORT = {
    "character_probability": "probability per character",
    "bits_per_byte": "bits per byte",
    "over_mutants": "wrong versions beaten",
    "pass_at_1": "pass@1",
}
FILTERS: dict[str, Any] = {
    "count": lambda n: f"{n:,}" if isinstance(n, int) else f"{n:,.4g}",
    "compact": compact,
    "percent": lambda share, digits=1: f"{100 * share:.{digits}f}%",
    "signed": lambda value, digits=4: f"{value:+.{digits}f}".replace("-", "−"),
    "duration": _duration,
    "title": lambda name: TITLES.get(name, name),
    "short_path": short_path,
    "words": lambda code: str(code).replace("_", " "),
}
