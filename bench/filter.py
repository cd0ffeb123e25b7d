"""The shipped classifier against a reader's scores, with whole sources left out, and its speed.

    python bench/filter.py [--gold ../shared/data/gold_labels.jsonl.gz] [--fit]

The gold file has a document a line: text, score (0 to 5) and source group. Prints one JSON object a line. AUC is the
chance that a document of score 3 or more is ranked above another: pooled, and as the mean within the sources that have
four documents of each class; intervals are 95% over resamples of sources. `gap` is the mean score of the kept less
that of the dropped at a share of 20%, over what a perfect filter would reach, for the standard library and installed
packages together. With --fit the packaged classifier is written again.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hornbook.core.scores import rank_correlation, roc_auc
from hornbook.stages.filter import shipped
from hornbook.stages.filter.lexical import Text, lexical_features
from hornbook.stages.filter.parsed import parsed_features
from hornbook.stages.filter.statistics import comment_density

GOLD = Path("../shared/data/gold_labels.jsonl.gz")
FEWEST = 4
KEPT_SHARE = 0.2
RESAMPLES = 400
OWN = ("stdlib", "installed")
SEEDS = (1, 2, 3)


def main() -> None:
    """Print the rules' and the classifier's figures, then the speeds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gold", type=Path, default=GOLD)
    parser.add_argument("--fit", action="store_true", help="write the packaged classifier again")
    options = parser.parse_args()
    texts, scores, sources = read_gold(options.gold)
    matrix = measure(texts)
    if options.fit:
        path = Path(shipped.__file__).with_name("shipped.safetensors")
        shipped.fit(matrix, scores, sources).save(path)
        print(json.dumps({"written": path.name, "bytes": path.stat().st_size}))
    columns = {
        **{name: matrix[:, n] for n, name in enumerate(shipped.NAMES)},
        "comment_density": np.array([comment_density(text) for text in texts]),
        "chance": np.random.default_rng(0).random(len(texts)),
    }
    rules = ("documented_function_share", "comment_density", "loop_statements", "log_chars", "chance")
    shown = {name: np.asarray(columns[name], np.float64) for name in rules}
    shown["least use of foreign names"] = -np.asarray(columns["foreign_use_share"], np.float64)
    for name, values in shown.items():
        print(json.dumps({"ranked by": name, **figures(values, scores, sources)}), flush=True)
    best = max(shown.values(), key=lambda values: roc_auc(values, scores >= shipped.GOOD_SCORE))
    for seed in SEEDS:
        found = shipped.out_of_source(matrix, scores, sources, seed)
        row = figures(found, scores, sources)
        row["ahead of the best rule"] = lead(found, best, scores, sources)
        print(json.dumps({"ranked by": f"shipped classifier, seed {seed}", **row}), flush=True)
    print(json.dumps(speeds(texts)))


def read_gold(path: Path) -> tuple[list[str], Any, list[str]]:
    """Texts, scores (documents,) and the source of each, of a JSONL file that may be gzipped."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open() as file:
        rows = [json.loads(line) for line in file]
    return (
        [row["text"] for row in rows],
        np.array([row["score"] for row in rows], np.float64),
        [row["group"] for row in rows],
    )


def measure(texts: list[str]) -> Any:
    """(documents, features) as float32, the columns of the shipped classifier."""
    return np.array([list(shipped.document_features(text).values()) for text in texts], np.float32)


def figures(found: Any, scores: Any, sources: list[str]) -> dict[str, Any]:
    """AUC pooled and within sources with intervals over sources, rank correlation, and the gap."""
    groups = rows_by_source(sources)
    return {
        "pooled_auc": interval(lambda rows: pooled(found, scores, rows), groups),
        "within_auc": interval(lambda rows: within(found, scores, rows), groups),
        "rank_correlation": round(rank_correlation(found, scores), 3),
        "gap_of_perfect": round(gap(found, scores, sources), 2),
    }


def rows_by_source(sources: list[str]) -> list[Any]:
    return [np.flatnonzero(np.asarray(sources) == name) for name in sorted(set(sources))]


def pooled(found: Any, scores: Any, groups: list[Any]) -> float:
    rows = np.concatenate(groups)
    good = scores[rows] >= shipped.GOOD_SCORE
    return roc_auc(found[rows], good) if good.any() and not good.all() else np.nan


def within(found: Any, scores: Any, groups: list[Any]) -> float:
    """Mean AUC within the sources that have FEWEST of each class."""
    reached = []
    for rows in groups:
        good = scores[rows] >= shipped.GOOD_SCORE
        if FEWEST <= good.sum() <= len(rows) - FEWEST:
            reached.append(roc_auc(found[rows], good))
    return float(np.mean(reached)) if reached else np.nan


def interval(value: Callable[[list[Any]], float], groups: list[Any]) -> list[float]:
    """[value, low, high]: 95% of resamples of the sources lie between."""
    random = np.random.default_rng(0)
    draws = [[groups[n] for n in random.integers(0, len(groups), len(groups))] for _ in range(RESAMPLES)]
    low, high = np.nanpercentile([value(draw) for draw in draws], [2.5, 97.5])
    return [round(float(number), 3) for number in (value(groups), low, high)]


def lead(found: Any, other: Any, scores: Any, sources: list[str]) -> list[float]:
    """How much higher the pooled AUC is than another's, on the same resamples."""
    groups = rows_by_source(sources)
    return interval(lambda drawn: pooled(found, scores, drawn) - pooled(other, scores, drawn), groups)


def gap(found: Any, scores: Any, sources: list[str]) -> float:
    own = np.isin(np.asarray(sources), OWN)
    if not own.any():
        return float("nan")
    count = round(KEPT_SHARE * int(own.sum()))

    def apart(order: Any) -> float:
        return float(scores[own][order[:count]].mean() - scores[own][order[count:]].mean())

    return apart(np.argsort(-found[own], kind="stable")) / apart(np.argsort(-scores[own], kind="stable"))


def speeds(texts: list[str]) -> dict[str, float]:
    """MB/s of one core, the best of three rounds: lexical features, parsed ones with the parse, the parse alone."""
    readable = [text for text in texts if parses(text)]
    megabytes = sum(len(text.encode()) for text in readable) / 1e6
    best: dict[str, float] = {}
    for _ in range(3):
        held = [Text(text) for text in readable]
        works: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
            "lexical": (lexical_features, held),
            "parsed": (parsed_features, held),
            "ast.parse": (ast.parse, readable),
        }
        for name, (work, items) in works.items():
            begun = time.process_time()
            for item in items:
                work(item)
            best[name] = max(best.get(name, 0.0), megabytes / (time.process_time() - begun))
    return {f"{name} MB/s": round(speed, 2) for name, speed in best.items()}


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


if __name__ == "__main__":
    main()
