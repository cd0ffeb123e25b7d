"""One document of a run, found by its id; where a filter judged it, with the reasons."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hornbook.core.errors import InputError
from hornbook.core.machine import Machine
from hornbook.core.progress import harmless
from hornbook.core.records import Document
from hornbook.core.shards import read_json, read_table, shards
from hornbook.core.store import Store
from hornbook.report.inspect import NoSuchPart, records
from hornbook.stages.filter.choice import score_of
from hornbook.stages.filter.config import JUDGE, LABELLED, MATRIX, QUALITY, THRESHOLD
from hornbook.stages.filter.feature_sets import from_table, is_numbered, rows_of, set_of
from hornbook.stages.filter.learners import Judge
from hornbook.stages.filter.statistics import Features

ID = re.compile(r"[\w.:/-]+")
PARTS = ("kept", "dropped")


def find(machine: Machine, run: str, step: str, id_: str) -> tuple[str, dict[str, Any]]:
    """Part and record of the document whose id begins so; InputError where there is none or more than one."""
    if not ID.fullmatch(id_):
        raise InputError(f"--id {id_!r} is no id; `hornbook show {run} {step} --json` lists them")
    found: list[tuple[str, dict[str, Any]]] = []
    for part in PARTS:
        with suppress(NoSuchPart):
            rows = records(machine, run, step, part, f"starts_with(id, '{id_}')", 2)
            found += [(part, row) for row in rows]
    whole = [item for item in found if item[1]["id"] == id_]
    if len(whole or found) != 1:
        if found:
            raise InputError(
                f"several documents of step {step} of {run} have ids that begin with {id_}; give more of it"
            )
        raise InputError(
            f"no document of step {step} of {run} has an id that begins with {id_}; "
            + (_went_before(machine, run, step, id_) or f"`hornbook show {run} {step}` lists them")
        )
    return (whole or found)[0]


def _went_before(machine: Machine, run: str, step: str, id_: str) -> str:
    """Which earlier step dropped such a document, and why; empty where none did."""
    lock = read_json(Path(machine.root) / "runs" / run / "lock.json")
    for key in list(lock)[: list(lock).index(step)]:
        with suppress(InputError):
            (row,) = records(machine, run, key, "dropped", f"starts_with(id, '{id_}')", 2) or [{}]
            if row:
                return f"{key} dropped {row['source']} as {row['reason']}: {row['detail']}"
    return ""


def explain(machine: Machine, run: str, step: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Why a filter kept or dropped a record of its step; of one that dedup kept, its copies; else nothing."""
    from hornbook.core.records import Document

    lock = read_json(Path(machine.root) / "runs" / run / "lock.json")
    made = lock[step]
    store = Store(Path(machine.root), machine.store)
    if made["stage"] == "dedup" and "reason" not in record:
        return {"cluster": copies_of(store.fetched("dedup", made["fingerprint"]), record["id"])}
    if made["stage"] != "filter":
        return {}
    if "judge" not in made["inputs"]:
        raise InputError(
            f"{step} of {run} was built when judging was no step of its own; run the recipe again, then ask again"
        )
    by_print = {other["fingerprint"]: other for other in lock.values()}
    judge = by_print[made["inputs"]["judge"]]
    labels = {"labels": lock["annotate"]["fingerprint"]} if "annotate" in lock else {}
    inputs = {**labels, **judge["inputs"], **made["inputs"]}
    folders = {name: store.fetched(by_print[print_]["stage"], print_) for name, print_ in inputs.items()}
    again = {
        key.partition(".")[2]: store.fetched("annotate", other["fingerprint"])
        for key, other in lock.items()
        if key.startswith("annotate.")
    }
    places = Places(store.fetched("filter", made["fingerprint"]), again=again, **folders)
    document = Document(record["text"], record["source"], "code", {}, record["id"])
    return explain_filter(document, places)


def describe(found: Mapping[str, Any], part: str) -> str:
    """An explanation for a person; nothing in it can move the cursor."""
    if "score" not in found:
        return "\n".join(map(harmless, _cluster_lines(found["cluster"])))
    least = found["threshold"]
    way = found["scored_by"].replace("_", " ")
    place = f"higher than {found['better_than']:.0%} of the documents; kept from {least:.4f}"
    lines = [f"   {part}: score {found['score']:.4f} by {way}, {place}"]
    if found["stratum_threshold"] is not None and found["stratum_threshold"] < least:
        lines.append(
            f"   of {found['stratum']}: kept from {found['stratum_threshold']:.4f}, so that it does not vanish"
        )
    facts = (
        f"topic {found['topic']}",
        f"licence {found['licence'] or 'none named'}",
        f"of {found['origin']}",
        f"{found['bytes']:,} bytes",
        f"{found['comment_density']:.1%} in comments and docstrings",
    )
    lines += [
        f"   {' · '.join(facts)}",
        "",
        *_label_lines(found["label"]),
        *_moved_lines(found["moved"], found["scored_by"]),
        *_nearest_lines(found["nearest"]),
        *_cluster_lines(found["cluster"]),
    ]
    return "\n".join(map(harmless, lines))


def _label_lines(label: Mapping[str, Any] | None) -> list[str]:
    if label is None:
        return ["   label: the annotator did not see it"]
    if label["label"] is None:
        return [f"   label: none, the annotator failed ({label['failed']})"]
    lines = [f"   label: {label['label']:.3g}{_counted(label['good'])}{_because(label['why'])}"]
    for name, second in label["again"].items():
        if second["label"] is not None:
            lines.append(f"   judged again ({name}): {second['label']:.3g}{_because(second['why'])}")
    return lines


def _counted(good: bool | None) -> str:
    return "" if good is None else ", counted as good" if good else ", not counted as good"


def _because(why: str | None) -> str:
    return f", because: {' '.join(why.split())}" if why else " (no reason given)"


def _moved_lines(moved: list[Mapping[str, Any]], scored_by: str) -> list[str]:
    if not moved:
        return []
    unit = "share of good" if scored_by in ("forest", "shipped") else "logit"
    lines = ["", f"   what moved the score most, in {unit} before calibration:"]
    for item in moved:
        name = item["feature"].replace("_", " ")
        values = "" if item["value"] is None else f"{item['value']:.4g}"
        values += "" if item["usual"] is None else f", usually {item['usual']:.4g}"
        lines.append(f"   {item['by']:+.4f}  {name:<28} {values}".rstrip())
    return lines


def _nearest_lines(nearest: list[Mapping[str, Any]]) -> list[str]:
    lines = ["", "   nearest labelled documents, by the same features:"] if nearest else []
    for item in nearest:
        label = "  –  " if item["label"] is None else f"{item['label']:5.3g}"
        counted = {None: "    ", True: "good", False: "bad "}[item["good"]]
        lines.append(
            f"   {label}  {counted}  {item['source'] or item['id']}  (distance {item['distance']:.2f})"
        )
        lines += [f"          {_because(item['why']).removeprefix(', ')}"] if item["why"] else []
    return lines


def _cluster_lines(cluster: list[Mapping[str, Any]]) -> list[str]:
    if not cluster:
        return ["", "   copies: none were found"]
    count = f"{len(cluster)} other{'s' if len(cluster) > 1 else ''}"
    lines = ["", f"   copies: kept instead of {count}:"]
    lines += [
        f"   {row['similarity']:.2f}  {row['source']}  ({row['reason'].replace('_', ' ')}{_kept_because(row)})"
        for row in cluster[:10]
    ]
    return lines + (["   …"] if len(cluster) > 10 else [])


def _kept_because(row: Mapping[str, Any]) -> str:
    return f"; this one {row['kept_because']}" if row["kept_because"] else ""


CLUSTERS = "clusters.parquet"
CLUSTER_COLUMNS = ("id", "source", "reason", "similarity", "kept_because")
SHOWN = 8
NEAREST = 5


@dataclass(frozen=True)
class Places:
    """Where the parts of an explanation lie: the folders of filter and judge, and those of what they were made from."""

    filter: Path
    judge: Path
    labels: Path | None = None
    documents: Path | None = None
    features: Path | None = None
    again: Mapping[str, Path] = field(default_factory=dict)
    """Name of a second judging -> its folder."""


def explain_filter(document: Document, places: Places) -> dict[str, Any]:
    """All that is known of why a document scored what it did; a part that does not apply is empty or None."""
    row = _scored(places.judge, document.id)
    limits, quality = read_json(places.filter / THRESHOLD), read_json(places.filter / QUALITY)
    stratum = row[quality["strata"]]
    own = limits["by_stratum"].get(stratum)
    labels = _labels(places.labels, quality) if places.labels else {}
    found = {
        "id": document.id,
        "source": document.source,
        **{name: row[name] for name in ("score", "topic", "licence", "origin", "bytes", "comment_density")},
        "scored_by": quality["score"],
        "better_than": _share_below(places.judge, row["score"]),
        "threshold": score_of(limits["general"]),
        "stratum": stratum,
        "stratum_threshold": None if own is None else score_of(own),
        "label": _label(labels.get(document.id), document.id, places),
        "moved": [],
        "nearest": [],
        "cluster": copies_of(places.documents, document.id) if places.documents else [],
    }
    if places.features is None:
        return found
    features = from_table(rows_of(places.features, [document.id])[1])
    if not (places.judge / MATRIX).is_file():  # the shipped classifier: what it was fitted to is not here
        return {**found, "moved": _moved(features, None, places.judge)}
    matrix = _matrix(places.judge)
    return {
        **found,
        "moved": _moved(features, matrix, places.judge),
        "nearest": _nearest(document.id, features, matrix, places.judge, labels),
    }


def _scored(folder: Path, id_: str) -> dict[str, Any]:
    """The row of the scores that holds a document; a shard's ids are read at a time."""
    for path in shards(folder):
        ids = read_table(path, ["id"])["id"]
        index = pc.index(ids, pa.scalar(id_, ids.type)).as_py()
        if index >= 0:
            return dict(read_table(path).slice(index, 1).to_pylist()[0])
    raise KeyError(id_)


def _share_below(folder: Path, score: float) -> float:
    """The share of all documents with a lower score."""
    below = total = 0
    for path in shards(folder):
        scores = read_table(path, ["score"])["score"].to_numpy()
        below, total = below + int((scores < score).sum()), total + len(scores)
    return below / max(total, 1)


def _labels(folder: Path, quality: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Document -> its row among the labelled, without its text, and whether it counted as good for this filter."""
    columns, bar = ["id", "source", "label", "why", "failed"], quality.get("good_label")
    rows = (row for path in shards(folder) for row in read_table(path, columns).to_pylist())
    return {row["id"]: {**row, "good": _is_good(row["label"], bar)} for row in rows}


def _is_good(label: float | None, bar: float | None) -> bool | None:
    return None if label is None or bar is None else label >= bar


def _label(row: Mapping[str, Any] | None, id_: str, places: Places) -> dict[str, Any] | None:
    if row is None:
        return None
    again = {name: _labels(folder, {}).get(id_) for name, folder in places.again.items()}
    seconds = {name: {k: second[k] for k in ("label", "why")} for name, second in again.items() if second}
    return {**{name: row[name] for name in ("label", "good", "why", "failed")}, "again": seconds}


def _matrix(folder: Path) -> Any:
    from safetensors.numpy import load_file

    return load_file(folder / MATRIX)["matrix"]


def _moved(features: Features, matrix: Any, folder: Path) -> list[dict[str, Any]]:
    """What moved the score most: single columns, but numbered ones as the set that they are of."""
    row = features.matrix[0]
    moved = Judge.load(folder / JUDGE).learnt.contributions(row)
    found: list[dict[str, Any]] = []
    by_set: dict[str, float] = {}
    usual = None if matrix is None else np.median(matrix, axis=0)
    for column, name in enumerate(features.names):
        if is_numbered(name):
            by_set[set_of(name)] = by_set.get(set_of(name), 0.0) + float(moved[column])
        else:
            values = {"value": float(row[column]), "usual": None if usual is None else float(usual[column])}
            found.append({"feature": name, "by": float(moved[column]), **values})
    found += [{"feature": name, "by": by, "value": None, "usual": None} for name, by in by_set.items()]
    return sorted(found, key=lambda item: (-abs(item["by"]), item["feature"]))[:SHOWN]


def _nearest(
    id_: str, features: Features, matrix: Any, folder: Path, labels: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The labelled documents whose features are most alike: distance over columns of deviation 1, per column."""
    deviation = matrix.std(axis=0)
    deviation[deviation < 1e-9] = 1.0
    distances = np.sqrt((((matrix - features.matrix[0]) / deviation) ** 2).mean(axis=1))
    ids = read_table(folder / LABELLED, ["id"])["id"].to_pylist()
    order = [int(index) for index in np.argsort(distances, kind="stable") if ids[index] != id_]
    return [
        {
            "id": ids[index],
            **{name: labels.get(ids[index], {}).get(name) for name in ("source", "label", "good", "why")},
            "distance": float(distances[index]),
        }
        for index in order[:NEAREST]
    ]


def copies_of(folder: Path, id_: str) -> list[dict[str, Any]]:
    """The copies that were dropped for this document."""
    path = folder / CLUSTERS
    if not path.is_file():
        return []
    rows = pq.read_table(path, filters=[("kept_id", "=", id_)]).to_pylist()
    return [{name: row.get(name) for name in CLUSTER_COLUMNS} for row in rows]
