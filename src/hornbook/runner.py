"""Plan a recipe (pure: what is reused, built, and why), then build what is missing, step by step."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from hornbook.core.config import Budget, EndpointPlace, LocalPlace, Machine, Prices
from hornbook.core.errors import ConfigError, InputError
from hornbook.core.progress import Progress, Silent
from hornbook.core.shards import read_json, write_json
from hornbook.core.store import Store, fingerprint
from hornbook.core.tools import Tools
from hornbook.core.workers import Workers, available_cpus, open_workers
from hornbook.model.config import TrainConfig
from hornbook.model.precision import DTYPES, take
from hornbook.pipeline import STAGES, Recipe, Step, steps
from hornbook.teachers import Account, Errand, open_teacher

TRAINS = ("pretrain", "finetune")
RUN = "run"
"""The budget of a whole recipe, in the machine file."""

NOT_BUILT = "not built yet"
State = Literal["reuse", "resume", "build"]


@dataclass(frozen=True)
class Planned:
    """One step with the name of what it makes, whether that exists, and why it must be built if not."""

    step: Step
    fingerprint: str
    parts: Mapping[str, Any]
    state: State
    why: str
    revisions: Mapping[str, str] = field(default_factory=dict)
    """Repository@branch of the Hub -> the commit that is taken for it."""
    missing: str = ""
    """Where an outside input cannot be had: what is wrong."""
    is_known: bool = True
    """Whether the fingerprint is the one that it will have: not where it, or what it reads, misses an input."""

    @property
    def record(self) -> dict[str, Any]:
        """What is written down of what it was made from."""
        return {**self.parts, **({"revisions": dict(self.revisions)} if self.revisions else {})}


def plan(recipe: Recipe, machine: Machine, even_without_inputs: bool = False) -> list[Planned]:
    """Every step of a recipe in order of work; reads the store and the outside inputs, changes nothing.

    InputError where a source, a model or a benchmark cannot be had, unless `even_without_inputs`.
    """
    _check_budgets(recipe, machine)
    wanted, lock = steps(recipe), read_lock(machine, recipe.name)
    planned = plan_steps(wanted, machine, lock, even_without_inputs)
    return _begun_otherwise(planned, wanted, machine, lock, even_without_inputs) or planned


def plan_steps(
    wanted: Iterable[Step],
    machine: Machine,
    lock: Mapping[str, Any],
    even_without_inputs: bool = False,
    auto: str = "",
) -> list[Planned]:
    """The same for any steps, each after those that it reads; `lock` is what they were made from the last time.

    A precision of `auto` becomes the machine's choice, or the one that is given here.
    """
    store = Store(Path(machine.root), machine.store)
    planned: dict[str, Planned] = {}
    for given in wanted:
        step = in_precision(given, machine, auto)
        prints = {name: planned[key].fingerprint for name, key in sorted(step.inputs.items())}
        revisions, missing = STAGES[step.stage].revisions, ""
        try:
            parts = _parts(step, prints, _cache(machine))
            moving = revisions(step.config) if revisions else {}
        except InputError as error:
            if not even_without_inputs:
                raise
            parts, moving, missing = _parts(step, prints, None), {}, str(error)
        print_ = fingerprint(parts)
        state = _state(store, step.stage, print_)
        why = "" if state == "reuse" else _why(parts, lock.get(step.key), step, planned)
        why = "left unfinished" if (state, why) == ("resume", NOT_BUILT) else why
        is_known = not missing and all(planned[key].is_known for key in step.inputs.values())
        planned[step.key] = Planned(step, print_, parts, state, why, moving, missing, is_known)
    return list(planned.values())


def in_precision(step: Step, machine: Machine, auto: str = "") -> Step:
    """The step with the precision that is taken; ConfigError names the step if its device cannot compute in it."""
    settled = STAGES[step.stage].settled
    if not settled:
        return step
    try:
        taken = settled(
            step.config, lambda name: auto if auto and name == "auto" else take(name, machine, keep=True)
        )
    except ConfigError as error:
        raise ConfigError(f"{step.key}: {error}") from error
    return replace(step, config=taken)


def _begun_otherwise(
    planned: list[Planned],
    wanted: list[Step],
    machine: Machine,
    lock: Mapping[str, Any],
    even_without_inputs: bool,
) -> list[Planned] | None:
    """The plan in another precision than the machine's choice if a training was begun in it, and none in the choice."""
    asked = [
        step for step in wanted if isinstance(step.config, TrainConfig) and step.config.precision == "auto"
    ]
    begun = [path for path in Store(Path(machine.root)).unfinished() if path.parent.name in TRAINS]
    keys = {step.key for step in asked}
    if not (asked and begun) or any(p.state == "resume" and p.step.key in keys for p in planned):
        return None
    choice = take("auto", machine)
    for other in DTYPES.keys() - {choice}:
        again = plan_steps(wanted, machine, lock, even_without_inputs, other)
        if any(p.state == "resume" and p.step.key in keys for p in again):
            why = f"left unfinished in {other}, and continued in it (auto is {choice} here now)"
            return [replace(p, why=why) if p.state == "resume" and p.step.key in keys else p for p in again]
    return None


def execute(
    recipe: Recipe,
    machine: Machine,
    planned: list[Planned],
    progress: Progress,
    keys: Mapping[str, SecretStr] | None = None,
) -> Path:
    """Build what the plan says is missing; the folder `runs/<name>` with links to all of it.

    `keys` opens the teachers that want one; a key is never written and never shown.
    Raises a HornbookError; whatever was finished before it is kept and reused by the next run.
    """
    store = Store(Path(machine.root), machine.store)
    folders = build(recipe.name, machine, planned, progress, keys)
    store.fetched("report", folders["report"].name)
    for line in (*set_aside(store, planned), *nothing_kept(store, recipe.name, planned)):
        progress.say(line)
    return _link(recipe, machine, planned, folders)


def build(
    name: str,
    machine: Machine,
    planned: list[Planned],
    progress: Progress,
    keys: Mapping[str, SecretStr] | None = None,
) -> dict[str, Path]:
    """Build what a plan says is missing, for the run of that name; step -> its folder in the store."""
    store = Store(Path(machine.root), machine.store)
    folders = {p.step.key: store.folder(p.step.stage, p.fingerprint) for p in planned}
    width = max(len(p.step.key) for p in planned)
    with _workers(machine) as workers:
        for number, item in enumerate(planned, 1):
            head = f"[{number:>2}/{len(planned)}] {item.step.key:<{width}}"
            if store.has(item.step.stage, item.fingerprint):
                progress.say(f"{head}  reused {item.fingerprint}")
                continue
            progress.say(f"{head}  {item.why}")
            tools = replace(_tools(item.step, machine, workers, progress), keys=_keys(item.step, keys))
            if item.step.teacher:
                errand = _errand(name, machine, item, keys or {})
                place = machine.teachers.get(item.step.teacher, LocalPlace())
                teacher = partial(
                    open_teacher, item.step.teacher, place, tools.cache, progress, errand=errand
                )
                tools = replace(tools, teacher=teacher)
            seconds = _build(item, folders, store, tools)
            progress.say(f"{'':>{len(head)}}  done in {seconds:.0f}s: {summary(store, item)}")
    return folders


def train(recipe: Recipe, machine: Machine, key: str, progress: Progress) -> tuple[Path, bool]:
    """Build one training step from what the store holds; its folder, and whether this process speaks for the job.

    Every process of a torchrun job calls this, on machines that share the store's root: the first builds and publishes,
    the others train with it. ConfigError where the recipe has no such step, InputError where an input is not built.
    """
    from hornbook.model import launch, ranks

    with launch.joining(machine) if launch.started_by_torchrun() else nullcontext():
        planned = {item.step.key: item for item in plan(recipe, machine)}
        item, lead = _trainable(planned, key), ranks.rank() == 0
        store = Store(Path(machine.root), machine.store)
        ranks.wait()  # all have seen the same store
        folders = {p.step.key: store.folder(p.step.stage, p.fingerprint) for p in planned.values()}
        if item.state == "reuse":
            return folders[key], lead
        with _workers(machine) as workers:
            if lead:
                _build(item, folders, store, _tools(item.step, machine, workers, progress))
            else:
                inputs = {name: folders[used] for name, used in item.step.inputs.items()}
                out = store.partial(item.step.stage, item.fingerprint)
                tools = _tools(item.step, machine, workers, Silent())
                STAGES[item.step.stage].run(item.step.config, inputs, out, tools)
    return folders[key], lead


def _trainable(planned: Mapping[str, Planned], key: str) -> Planned:
    """The training step of this key, of which every input is in the store."""
    known = [name for name in planned if name.startswith(("pretrain/", "finetune/"))]
    if key not in known:
        raise ConfigError(f"this recipe has no training step {key!r}; its training steps: {', '.join(known)}")
    missing = [used for used in planned[key].step.inputs.values() if planned[used].state != "reuse"]
    if missing:
        raise InputError(
            f"{key} needs {', '.join(missing)}, not in the store yet: build it first (hornbook run, or hornbook train)"
        )
    return planned[key]


def summary(store: Store, item: Planned) -> str:
    """The counts of a finished step that a person asks for first."""
    counts = store.manifest(item.step.stage, item.fingerprint)["counts"]
    shown = {k: v for k, v in counts.items() if "." not in k}
    return ", ".join(f"{k} {v:,}" if isinstance(v, int) else f"{k} {v:,.4g}" for k, v in shown.items())


def set_aside(store: Store, planned: list[Planned]) -> Iterator[str]:
    """A line for each step of which shards failed: the step is finished without them."""
    for item in planned:
        failed = store.manifest(item.step.stage, item.fingerprint)["counts"].get("shards_failed", 0)
        if failed:
            folder = store.folder(item.step.stage, item.fingerprint)
            yield (
                f"{item.step.key}: shards that failed and are missing: {failed}; {folder}/failed says why, "
                "and once that folder is removed a run builds them again"
            )


def nothing_kept(store: Store, run: str, planned: list[Planned]) -> Iterator[str]:
    """A line for each step that dropped all it was given: what follows has nothing of it."""
    for item in planned:
        counts = store.manifest(item.step.stage, item.fingerprint)["counts"]
        if counts.get("dropped") and not counts.get("kept"):
            reasons = ", ".join(
                f"{key.removeprefix('dropped.')} {n:,}"
                for key, n in counts.items()
                if key.startswith("dropped.")
            )
            yield (
                f"{item.step.key}: nothing was kept of {counts['dropped']:,} ({reasons}); "
                f"hornbook show {run} {item.step.key} --dropped"
            )


def read_lock(machine: Machine, name: str) -> dict[str, Any]:
    """What the last finished run of this name was made from: step -> the parts of its fingerprint."""
    path = Path(machine.root) / "runs" / name / "lock.json"
    return dict(read_json(path)) if path.exists() else {}


def _parts(step: Step, prints: Mapping[str, str], cache: Path | None) -> dict[str, Any]:
    """What a step is made from; without `cache`, as if it read nothing from outside."""
    stage = STAGES[step.stage]
    identity = dict(stage.identity(step.config, cache)) if stage.identity and cache else {}
    if step.teacher:
        identity["teacher"] = step.teacher
    return {
        "stage": step.stage,
        "version": stage.version,
        "config": step.config.model_dump(mode="json"),
        "seed": step.seed,
        "identity": identity,
        "inputs": dict(prints),
    }


def _state(store: Store, stage: str, print_: str) -> State:
    if store.has(stage, print_):
        return "reuse"
    return "resume" if store.partial(stage, print_).exists() else "build"


def _why(
    parts: Mapping[str, Any], before: Mapping[str, Any] | None, step: Step, planned: Mapping[str, Planned]
) -> str:
    """What differs from the last finished run of the same name, in words."""
    if before is None:
        return NOT_BUILT
    rebuilt = (key for key in step.inputs.values() if planned[key].state != "reuse")
    changed = [f"{key} is rebuilt" for key in rebuilt]
    changed += [
        f"{k} {before.get(k)} -> {parts[k]}" for k in ("version", "seed") if parts[k] != before.get(k)
    ]
    changed += [f"{k}: {a!r} -> {b!r}" for k, a, b in _differences(before.get("config", {}), parts["config"])]
    changed += [f"{k} changed" for k, _, _ in _differences(before.get("identity", {}), parts["identity"])]
    changed += [
        f"{step.inputs.get(name, name)} is another one"
        for name, _, _ in _differences(before.get("inputs", {}), parts["inputs"])
        if name not in step.inputs or planned[step.inputs[name]].state == "reuse"
    ]
    return "; ".join(changed) or "its folder is gone from the store"


def _differences(old: Any, new: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differences(before, after, f"{prefix}.{number}")
    elif isinstance(old, list) and isinstance(new, list) and any(isinstance(one, dict) for one in old + new):
        yield f"entries of {prefix}", len(old), len(new)
    elif old != new:
        yield prefix, old, new


def _build(item: Planned, folders: Mapping[str, Path], store: Store, tools: Tools) -> float:
    wanted = {name: folders[key] for name, key in item.step.inputs.items()}
    inputs = {name: store.fetched(folder.parent.name, folder.name) for name, folder in wanted.items()}
    begun = time.monotonic()
    with store.building(item.step.stage, item.fingerprint) as out:
        try:
            counts = STAGES[item.step.stage].run(item.step.config, inputs, out, tools)
        except BaseException:
            store.interrupted(item.step.stage, item.fingerprint, time.monotonic() - begun)
            raise
        seconds = time.monotonic() - begun
        store.publish(item.step.stage, item.fingerprint, item.record, counts, seconds)
    return seconds


@contextmanager
def _workers(machine: Machine) -> Iterator[Workers]:
    workers = open_workers(machine.engine, machine.workers or available_cpus())
    try:
        yield workers
    finally:
        workers.close()


def _tools(step: Step, machine: Machine, workers: Workers, progress: Progress) -> Tools:
    from hornbook.sandbox import Sandbox

    sandbox = partial(Sandbox, workers=workers.count, require_isolation=machine.require_isolation)
    return Tools(step.seed, workers, progress, machine, None, sandbox, cache=_cache(machine))


def _keys(step: Step, keys: Mapping[str, SecretStr] | None) -> Mapping[str, SecretStr]:
    """Only an evaluation reaches servers by itself."""
    return keys or {} if step.stage == "evaluate" else {}


def _errand(run: str, machine: Machine, item: Planned, keys: Mapping[str, SecretStr]) -> Errand:
    """For whom the teacher of a step is asked: its answers count against the run, the stage and the step."""
    settings = dict.fromkeys((RUN, item.step.stage, item.step.key))
    accounts = tuple(
        Account(run if name == RUN else f"{run}/{name}", name, machine.budgets.get(name, Budget()))
        for name in settings
    )
    return Errand(item.fingerprint, accounts, keys.get(item.step.teacher, SecretStr("")))


def _check_budgets(recipe: Recipe, machine: Machine) -> None:
    """A budget that nothing counts against would never be kept: ConfigError names it."""
    asking = [step for step in steps(recipe) if step.teacher]
    known = {RUN, *(step.stage for step in asking), *(step.key for step in asking)}
    of_others = {name for name, stage in STAGES.items() if stage.asks} - known
    for name, budget in machine.budgets.items():
        if name not in known and name.split("/")[0] not in of_others:
            raise ConfigError(
                f"budgets.{name}: nothing of that name asks a teacher; budgets: {', '.join(sorted(known))}"
            )
        for step in asking if budget.money else ():
            place = machine.teachers.get(step.teacher)
            if (
                name in (RUN, step.stage, step.key)
                and isinstance(place, EndpointPlace)
                and place.prices == Prices()
            ):
                raise ConfigError(
                    f"budgets.{name}.money means nothing without the prices of the teacher; set "
                    f'prices = {{ tokens_in = ..., tokens_out = ... }} in [teachers."{step.teacher}"]'
                )


def _cache(machine: Machine) -> Path:
    return Path(machine.root) / "cache"


def _link(recipe: Recipe, machine: Machine, planned: list[Planned], folders: Mapping[str, Path]) -> Path:
    """`runs/<name>`: a link for each step, the report, the resolved recipe and the lock, the lock last."""
    run = Path(machine.root) / "runs" / recipe.name
    run.mkdir(parents=True, exist_ok=True)
    for key, folder in folders.items():
        _point(run / "steps" / key, folder)
    for name in ("report.html", "results.json"):
        _point(run / name, folders["report"] / name)
    write_json(run / "recipe.json", recipe.model_dump(mode="json"))
    write_json(run / "lock.json", {p.step.key: {"fingerprint": p.fingerprint, **p.record} for p in planned})
    return run


def _point(link: Path, target: Path) -> None:
    """Make `link` a relative symbolic link to `target`, replacing what it was."""
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink() or link.exists():
        link.unlink()
    link.symlink_to(os.path.relpath(target, link.parent))
