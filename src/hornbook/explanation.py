"""One document of a run, found by its id; where a filter judged it, with the reasons."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hornbook.core.config import Machine
from hornbook.core.errors import InputError
from hornbook.core.shards import read_json
from hornbook.core.store import Store
from hornbook.core.terminal import harmless
from hornbook.inspection import NoSuchPart, records

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
    from hornbook.filtering.explain import Places, copies_of, explain

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
    return explain(document, places)


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
