"""Plan a recipe (pure: what is reused, built, and why), then build what is missing, step by step."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from hornbook.core.context import Tools
from hornbook.core.errors import ConfigError, InputError
from hornbook.core.machine import Budget, LocalPlace, Machine
from hornbook.core.progress import Progress, Silent
from hornbook.core.shards import write_json
from hornbook.core.store import Store
from hornbook.core.workers import Workers, available_cpus, open_workers
from hornbook.experiment.plan import RUN, Planned, _cache, plan
from hornbook.experiment.recipe import Recipe
from hornbook.experiment.steps import STAGES, Step
from hornbook.teachers import Account, Errand, open_teacher


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
    from hornbook.model import distributed as launch
    from hornbook.model import ranks

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
