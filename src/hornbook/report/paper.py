"""The paper's own numbers, quoted to stand beside ours and never mixed with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hornbook.core.shards import read_json

SOURCE = "Textbooks Are All You Need, arXiv 2306.11644v2"
PAPER: dict[str, dict[str, float]] = {
    "raw": {"350M": 12.19},
    "filtered": {"350M": 17.68},
    "textbook": {"350M": 20.12, "1.3B": 29.0},
    "finetuned": {"350M": 45.0, "1.3B": 50.6},
}
"""What it was trained on -> parameters -> HumanEval pass@1 in percent (sections 2.1 and 3, figure 2.1)."""
NAMES = {
    "raw": "raw code (The Stack+)",
    "filtered": "filtered code",
    "textbook": "filtered code + textbooks (CodeTextbook)",
    "finetuned": "the same, finetuned on exercises (CodeExercises)",
}


def counterpart(parts: Mapping[str, Any], state: str) -> str:
    """The row of PAPER that a model of this mix and state (base or finetuned) stands beside."""
    if state == "finetuned":
        return "finetuned"
    made = [name for name in parts if name == "textbooks" or name.startswith("exercises/")]
    return "textbook" if made else "filtered" if "filter" in parts else "raw"


def mixes(recipe: Mapping[str, Any], folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """A row for each training and dataset of its mix; arms that read the same stand together.

    `times` is how often a training saw each token of the dataset that it took, on average.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for arm, plan in recipe.get("arms", {}).items():
        for stage, mix in (("pretrain", plan["mix"]), ("finetune", plan.get("finetune"))):
            parts = folders.get(f"pack/{mix}", Path()) / "parts.json"
            if f"{stage}/{arm}" not in folders or not parts.is_file():
                continue
            passes = read_json(folders[f"{stage}/{arm}"] / "manifest.json")["counts"]["epochs"]
            read = found.setdefault((stage, mix), {"stage": stage, "mix": mix, "arms": []})
            read["arms"].append(arm)
            read["parts"] = [
                {
                    "dataset": dataset,
                    "share": told["share"],
                    "documents": told["documents"],
                    "tokens": told["distinct_tokens"],
                    "times": told["epochs"] * passes,
                }
                for dataset, told in sorted(read_json(parts).items(), key=lambda item: -item[1]["share"])
            ]
    return list(found.values())
