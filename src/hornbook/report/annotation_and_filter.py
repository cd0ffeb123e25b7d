"""What was judged, how far the judgements can be trusted, and what the filters did, for the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from hornbook.core.shards import read_json
from hornbook.report.figures import compact, dotted, histogram
from hornbook.stages.filter.feature_sets import COSTS, is_numbered

WAYS = {
    "all": "all documents",
    "kept": "kept",
    "random": "by chance",
    "comment_density": "by comment density",
}
"""What is compared: everything, this filter's choice, and two plain ones of the same bytes."""
COLOURS = {"all": "s0", "kept": "s1", "random": "s3", "comment_density": "s2"}
SHOWN = 9
SHOWN_FEATURES = 8
LEARNERS = {
    "forest": "random forest",
    "linear": "logistic regression",
    "gradient_boosting": "gradient boosting",
}


def filters(folders: Mapping[str, Path]) -> dict[str, Any]:
    """Step key -> what each filter wrote of itself, and its key as `step`."""
    return {key: {"step": key, **told} for key, told in _found(folders, "filter", "quality.json").items()}


def first(judged: Mapping[str, Any]) -> Mapping[str, Any]:
    """The filter that the page is about: the plain one, or where there is none the first; empty without any."""
    found: Mapping[str, Any] = judged.get("filter") or next(iter(judged.values()), {})
    return found


def agreements(folders: Mapping[str, Path]) -> dict[str, Any]:
    """Name of each second judging -> how far it agreed with the first, and who was asked."""
    found = _found(folders, "annotate", "agreement.json")
    return {
        key.partition(".")[2]: {
            "teacher": read_json(folders[key] / "manifest.json").get("identity", {}).get("teacher", ""),
            "documents": told["documents"],
            "same": told.get("same") or told.get("same_half"),
            **{name: told.get(name) for name in ("rank_correlation", "within_one", "weighted_kappa")},
        }
        for key, told in found.items()
    }


def costs(folders: Mapping[str, Path]) -> dict[str, float]:
    """Feature set -> documents a second, as one process measured them; nothing where no filter learns."""
    steps = [folder for key, folder in folders.items() if key.partition(".")[0] == "features"]
    told = [read_json(path) for folder in steps for path in folder.glob(f"{COSTS}/*/timing.json")]
    documents: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    for shard in told:
        documents.update(dict.fromkeys(shard["seconds"], shard["documents"]))
        seconds |= {name: seconds.get(name, 0.0) + spent for name, spent in shard["seconds"].items()}
    return {name: documents[name] / max(seconds[name], 1e-9) for name in seconds}


def _found(folders: Mapping[str, Path], stage: str, name: str) -> dict[str, Any]:
    keys = [key for key in folders if key.partition(".")[0] == stage]
    return {key: read_json(folders[key] / name) for key in keys if (folders[key] / name).is_file()}


def figures(quality: Mapping[str, Any]) -> list[Markup]:
    """Labels, scores, calibration, learning curve and lengths; the first three only where something was learnt."""
    score, learnt = quality["score_histogram"], quality.get("learners")
    drawn = []
    if learnt:
        label = quality["label_histogram"]
        drawn.append(histogram(label["edges"], label["counts"], None, "Labels", "the teacher's label"))
    unit = (
        "the probability of good"
        if learnt or quality["score"] == "shipped"
        else quality["score"].replace("_", " ")
    )
    drawn.append(histogram(score["edges"], score["counts"], quality["threshold"], "Scores", unit))
    if learnt:
        drawn += [_calibration(quality), _learning_curve(quality)]
    return [*drawn, _lengths(quality["effects"])]


def _calibration(quality: Mapping[str, Any]) -> Markup:
    lines = {
        "perfect": ("s0", [(0.0, 0.0), (1.0, 1.0)]),
        "before": ("s2", [(p["mean_score"], p["good_share"]) for p in quality["calibration_before"]]),
        "calibrated": ("s1", [(p["mean_score"], p["good_share"]) for p in quality["calibration"]]),
    }
    return dotted(lines, "How many were good, of those said to be", "the score said", ((0, 1), (0, 1)))


def _learning_curve(quality: Mapping[str, Any]) -> Markup:
    curve = quality["learning_curve"]
    if not curve:
        return Markup("")
    lines = {
        "mean": ("s1", [(row["labels"], row["roc_auc"]) for row in curve]),
        "best and worst draw": ("s0", _there_and_back(curve)),
    }
    low = min(0.5, *(row["lowest"] for row in curve))
    spans = ((0.0, float(curve[-1]["labels"])), (low, max(row["highest"] for row in curve) + 0.02))
    return dotted(lines, "ROC AUC by labels learnt from", "labels", spans)


def _there_and_back(curve: Sequence[Mapping[str, float]]) -> list[tuple[float, float]]:
    up = [(row["labels"], row["highest"]) for row in curve]
    return up + [(row["labels"], row["lowest"]) for row in reversed(curve)]


def _lengths(effects: Mapping[str, Any]) -> Markup:
    powers = sorted({int(power) for held in effects.values() for power in held["lengths"]})
    if not powers:
        return Markup("")
    shares = {
        way: [(float(p), held["lengths"].get(str(p), 0) / max(held["documents"], 1)) for p in powers]
        for way, held in effects.items()
    }
    lines = {WAYS[way]: (COLOURS[way], shares[way]) for way in WAYS}
    roof = max(share for line in shares.values() for _, share in line)
    spans = ((float(powers[0]), float(powers[-1])), (0.0, 1.15 * roof))
    return dotted(
        lines,
        "Lengths, share of documents",
        "bytes",
        spans,
        lambda power: compact(2**power) if power < 10 else f"{2 ** (power - 10):.3g}k",
    )


def rule(quality: Mapping[str, Any]) -> str:
    """How much is kept, in words."""
    told = quality["rule"]
    if "keep_share" in told:
        return f"the best {100 * told['keep_share']:.3g}% of the documents"
    if "min_score" in told:
        return f"the documents that score {told['min_score']:.3g} or more"
    each = f"{told['bytes_per_token']:.3g} bytes each"
    return f"the best documents that fit into {told['keep_tokens']:,} tokens of {each}"


def importance_rows(quality: Mapping[str, Any]) -> list[tuple[str, float]]:
    """What counts most: single columns, but numbered ones as the set that they are of."""
    named = [(name, weight) for name, weight in quality["importances"] if not is_numbered(name)]
    owners = {name: weight for name, weight in quality["importance_by_set"].items() if name != "statistics"}
    return sorted([*named, *owners.items()], key=lambda row: -row[1])[:SHOWN_FEATURES]


def effect_rows(quality: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a way of choosing: what it holds and, where labels are known, what the teacher thinks of it."""
    against = {"kept": "judge", "all": "random"}
    told = quality.get("against", {})
    return [
        {
            "name": WAYS[way],
            "documents": held["documents"],
            "megabytes": held["bytes"] / 1e6,
            "comment_density": held["density_sum"] / max(held["documents"], 1),
            "median_bytes": _median(held["lengths"]),
            "label": told.get(against.get(way, way)) if way != "all" else None,
        }
        for way, held in ((way, quality["effects"][way]) for way in WAYS)
    ]


def _median(lengths: Mapping[str, int]) -> int:
    """Twice a power of two under which half of the documents are."""
    total, seen = sum(lengths.values()), 0
    for power in sorted(lengths, key=int):
        seen += lengths[power]
        if 2 * seen >= total:
            return int(2 ** (int(power) + 1))
    return 0


def vanished(quality: Mapping[str, Any]) -> list[str]:
    """The topics of which nothing is kept."""
    effects = quality["effects"]
    return sorted(topic for topic in effects["all"]["topic"] if not effects["kept"]["topic"].get(topic))


def mix_rows(quality: Mapping[str, Any], mix: str) -> list[dict[str, Any]]:
    """The largest topics or licences with their share of the bytes, in each way of choosing; the rest as one."""
    effects = quality["effects"]
    whole = {way: max(sum(effects[way][mix].values()), 1) for way in WAYS}
    names = sorted(effects["all"][mix], key=lambda name: (-effects["all"][mix][name], name))
    named = names if len(names) <= SHOWN + 1 else names[:SHOWN]
    rows = [
        {"name": name or "none named", **{way: effects[way][mix].get(name, 0) / whole[way] for way in WAYS}}
        for name in named
    ]
    if len(names) > len(named):
        others = names[len(named) :]
        rest = {way: sum(effects[way][mix].get(name, 0) for name in others) / whole[way] for way in WAYS}
        rows.append({"name": f"{len(names) - len(named)} others", **rest})
    return rows
