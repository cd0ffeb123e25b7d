"""Looking at what was made: runs, datasets, single records, and what may be removed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import orjson

from hornbook.core.errors import InputError, StoreError, first_line
from hornbook.core.machine import Machine
from hornbook.core.progress import harmless
from hornbook.core.shards import read_json
from hornbook.core.store import Store, remove, size_bytes

MEBIBYTE = 2**20
SHOWN_NUMBERS = 6


class NoSuchPart(InputError):
    """A step's dataset has no records of that part."""


def status(machine: Machine) -> dict[str, Any]:
    """Runs, the store's stages with their size, and what is unfinished."""
    root, store = Path(machine.root), Store(Path(machine.root))
    runs = [
        {"run": path.parent.name, "steps": len(read_json(path)), "report": str(path.parent / "report.html")}
        for path in sorted(root.glob("runs/*/lock.json"))
    ]
    stages: dict[str, dict[str, Any]] = {}
    for folder in store.finished():
        row = stages.setdefault(folder.parent.name, {"stage": folder.parent.name, "folders": 0, "MiB": 0.0})
        row["folders"] += 1
        row["MiB"] = round(row["MiB"] + size_bytes(folder) / MEBIBYTE, 1)
    unfinished = [f"{p.parent.name}/{p.stem}" for p in store.unfinished()]
    return {"root": str(root), "runs": runs, "stages": list(stages.values()), "unfinished": unfinished}


def datasets(machine: Machine, run: str) -> list[dict[str, Any]]:
    """The steps of a run with the records of each part, wherever the store has them."""
    store = Store(Path(machine.root), machine.store)
    found = []
    for key, step in read_json(_run(machine, run) / "lock.json").items():
        if not store.has(step["stage"], step["fingerprint"]):
            continue
        manifest = store.manifest(step["stage"], step["fingerprint"])
        files = (PurePosixPath(name) for name in manifest["files"] if name.endswith(".parquet"))
        parts = {_part(file) for file in files}
        if parts:
            counts = manifest["counts"]
            sizes = ", ".join(
                f"{part} {counts[part]:,}" if part in counts else part for part in sorted(parts)
            )
            found.append({"step": key, "parts": sizes})
    return found


def records(machine: Machine, run: str, step: str, part: str, where: str, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` records of a step's part that meet an SQL condition over its columns."""
    import duckdb

    lock = read_json(_run(machine, run) / "lock.json")
    if step not in lock:
        known = ", ".join(row["step"] for row in datasets(machine, run))
        raise InputError(f"run {run} has no step {step!r}; its datasets: {known}")
    store = Store(Path(machine.root), machine.store)
    folder = store.fetched(lock[step]["stage"], lock[step]["fingerprint"])
    pattern = f"{part}/*.parquet" if (folder / part).is_dir() else f"{part}.parquet"
    files = [str(path) for path in sorted(folder.glob(pattern))]
    if not files:
        parts = sorted({_part(path.relative_to(folder)) for path in folder.rglob("*.parquet")})
        has = f"has no part {part!r}; its parts: {', '.join(parts)} (--part)" if parts else "holds no records"
        raise NoSuchPart(f"step {step} {has}")
    query = "select * from read_parquet($files, union_by_name = true, hive_partitioning = false)"
    try:
        found = duckdb.execute(f"{query} where {where or 'true'} limit {limit}", {"files": files})
    except duckdb.Error as error:
        columns = ", ".join(
            row[0] for row in duckdb.execute(f"describe {query}", {"files": files}).fetchall()
        )
        raise InputError(f"--where {where!r}: {first_line(error)}; columns: {columns}") from error
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _part(path: PurePath) -> str:
    """The part that a file of a dataset belongs to: its folder, or where it lies in none, itself."""
    return path.parent.as_posix() if path.parent.name else path.stem


def describe(record: dict[str, Any], full: bool, first_lines: int = 12) -> str:
    """A record for a person: a line a column, the text indented below; control characters are shown, not sent."""
    lines = [f"── {record.get('source') or record.get('id')}"]
    for name, value in record.items():
        if name in ("source", "text"):
            continue
        if value is None or value == "":
            continue
        lines += _describe_meta(value) if name == "meta" else [f"   {name}: {_describe_value(value, full)}"]
    text = str(record.get("text") or "").splitlines()
    shown = text if full else text[:first_lines]
    lines += [f"   │ {line}" for line in shown]
    if len(shown) < len(text):
        lines.append(f"   │ … {len(text) - len(shown)} more lines (--full shows them)")
    return "\n".join(map(harmless, lines)) + "\n"


def _describe_value(value: Any, full: bool) -> str:
    if not isinstance(value, list) or full or len(value) <= SHOWN_NUMBERS:
        return str(value)
    return f"{', '.join(map(str, value[:SHOWN_NUMBERS]))}, … ({len(value)} in all; --full shows them)"


def _describe_meta(meta: str) -> list[str]:
    values = orjson.loads(meta or "{}")
    lines = []
    for name, value in values.items():
        if value is None or value == "":
            continue
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        lines.append(
            f"   {name}: {text[:200].rstrip()}{' …' if len(text) > 200 else ''}".replace("\n", "\\n")
        )
    return lines


def clean(machine: Machine, yes: bool) -> list[dict[str, Any]]:
    """The folders that no run's lock names, and the unfinished ones; removed where `yes`.

    StoreError while a run is at work: a lock names what it has finished only once all of it is.
    """
    root, store = Path(machine.root), Store(Path(machine.root))
    if yes and (busy := store.under_way()):
        raise StoreError(
            f"a run is building {busy[0].parent.name}/{busy[0].stem}, and what it made so far is in use; "
            "clean again once it has ended"
        )
    used = {
        store.folder(parts["stage"], parts["fingerprint"])
        for path in root.glob("runs/*/lock.json")
        for parts in read_json(path).values()
    }
    unused = [folder for folder in store.finished() if folder not in used] + store.unfinished()
    rows = [
        {"folder": f"{f.parent.name}/{f.name}", "MiB": round(size_bytes(f) / MEBIBYTE, 1)} for f in unused
    ]
    for folder in unused if yes else ():
        remove(folder)
    return rows


@dataclass(frozen=True)
class FoundModel:
    """A model's folder and, where it belongs to a run, the run's numbers and its name in them."""

    folder: Path
    name: str
    results: dict[str, Any] = field(default_factory=dict)
    arm: str = ""
    state: str = ""


def find_model(machine: Machine, name: str) -> FoundModel:
    """The model of a folder, or of RUN/ARM (finetuned where it was) or RUN/STEP; InputError lists what there is."""
    if (Path(name) / "config.json").exists():
        return FoundModel(Path(name), Path(name).resolve().name)
    run, _, wanted = name.partition("/")
    if Path(name).is_dir():
        raise InputError(f"{name} is neither a model folder (it has no config.json) nor RUN/ARM of a run")
    folder = _run(machine, run)
    steps = read_json(folder / "lock.json")
    made = [key for stage in ("finetune/", "pretrain/") for key in steps if key.startswith(stage)]
    found = [key for key in made if wanted in (key, key.partition("/")[2])]
    if not found:
        arms = sorted({f"{run}/{key.partition('/')[2]}" for key in made})
        said = f"run {run} trained no {wanted!r}" if wanted else f"{run} is a run; name one of its models"
        raise InputError(f"{said}; its models: {', '.join(arms) or 'none'}")
    stage, _, arm = found[0].partition("/")
    state = "base" if stage == "pretrain" else "finetuned"
    results = read_json(folder / "results.json")
    return FoundModel(folder / "steps" / found[0], f"{run}-{arm}-{state}", results, arm, state)


def run_scores(machine: Machine, run: str) -> dict[str, dict[str, Any]]:
    """Model -> its scores.json, for every evaluation of a finished run."""
    folder = _run(machine, run)
    keys = [key for key in read_json(folder / "lock.json") if key.startswith("evaluate/")]
    return {key.removeprefix("evaluate/"): read_json(folder / "steps" / key / "scores.json") for key in keys}


def _run(machine: Machine, run: str) -> Path:
    folder = Path(machine.root) / "runs" / run
    if not (folder / "lock.json").exists():
        known = ", ".join(sorted(path.parent.name for path in Path(machine.root).glob("runs/*/lock.json")))
        raise InputError(f"no finished run {run!r} under {machine.root}; runs: {known or 'none'}")
    return folder
