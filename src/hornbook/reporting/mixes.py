"""What each arm read: its datasets, how much of each, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hornbook.core.shards import read_json


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
