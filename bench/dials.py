"""What one turned dial did: arms of a finished run grouped by what they read, paired by seed.

    hornbook run recipes/dials.toml
    python bench/dials.py hornbook-data/runs/dials/results.json

Each measure is a mean over the seeds, and so is the difference; its interval is Student's t on the paired differences
of the seeds (95 %), which says how far the finding would hold for another seed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t

MEASURES = ("pass_at_1", "character_probability", "bits_per_byte")


def by_mix(results: dict[str, Any], benchmark: str, measure: str) -> dict[str, dict[int, float]]:
    """Datasets read -> seed -> the measure."""
    found: dict[str, dict[int, float]] = {}
    for model in results["models"].values():
        scores = model["benchmarks"].get(benchmark)
        if scores and model["state"] == "base":
            found.setdefault(" + ".join(model["mix"]), {})[model["seed"]] = scores[measure][0]
    return found


def difference(ours: dict[int, float], theirs: dict[int, float]) -> str:
    """The mean of the paired differences and its interval."""
    pairs = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    if len(pairs) < 2:
        return "one seed says nothing about others"
    half = float(t.ppf(0.975, len(pairs) - 1)) * stdev(pairs) / len(pairs) ** 0.5
    low, high = mean(pairs) - half, mean(pairs) + half
    said = "cannot tell" if low <= 0 <= high else "differs"
    return f"{mean(pairs):+.4f} [{low:+.4f}, {high:+.4f}] over {len(pairs)} seeds: {said}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--benchmark", default="heldout")
    options = parser.parse_args()
    results = json.loads(options.results.read_text())
    for measure in MEASURES:
        groups = by_mix(results, options.benchmark, measure)
        print(measure)
        for name, seeds in groups.items():
            each = ", ".join(f"{value:.4f}" for _, value in sorted(seeds.items()))
            print(f"  {name:28} {mean(seeds.values()):.4f}  ({each})")
        first, *others = groups
        for other in others:
            print(f"  {other} minus {first}: {difference(groups[other], groups[first])}")


if __name__ == "__main__":
    main()
