"""Plan a recipe (pure: what is reused, built, and why), then build what is missing, step by step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hornbook.core.errors import ConfigError, InputError
from hornbook.core.machine import EndpointPlace, Machine, Prices
from hornbook.core.shards import read_json
from hornbook.core.store import Store, fingerprint
from hornbook.experiment.recipe import Recipe
from hornbook.experiment.steps import STAGES, Step, steps
from hornbook.model.config import TrainConfig
from hornbook.model.precision import DTYPES, take

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
