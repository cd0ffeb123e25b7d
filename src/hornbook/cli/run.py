"""run and plan: build what a recipe names, or say beforehand what that would be."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from hornbook.cli.options import (
    IsolationOption,
    JsonOption,
    LaunchOption,
    MachineOption,
    RecipeArgument,
    RehearseOption,
    RootOption,
    WorkersOption,
    read_keys,
    read_machine,
    read_recipe,
)
from hornbook.cli.printing import print_json, print_table

if TYPE_CHECKING:
    from hornbook.core.machine import Machine
    from hornbook.experiment.costs import Cost, Training
    from hornbook.experiment.plan import Planned
    from hornbook.experiment.recipe import Recipe


def run(
    recipe: RecipeArgument,
    root: RootOption = None,
    machine: MachineOption = None,
    workers: WorkersOption = None,
    require_isolation: IsolationOption = None,
    launch: LaunchOption = None,
    rehearse: RehearseOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; only the result.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build everything that a recipe names and is not yet there; ends with the report."""
    from hornbook.core.progress import open_progress
    from hornbook.core.shards import read_json
    from hornbook.experiment.execute import execute
    from hornbook.experiment.plan import plan
    from hornbook.report.compare import in_words

    where = read_machine(machine, root, workers, require_isolation, launch)
    what = _wanted(recipe, where, rehearse)
    planned = plan(what, where)
    built = sum(p.state != "reuse" for p in planned)
    folder = execute(what, where, planned, open_progress(not quiet), read_keys(where))
    answer = in_words(read_json(folder / "results.json"))
    result = {
        "answer": answer,
        "report": str(folder / "report.html"),
        "results": str(folder / "results.json"),
        "built": built,
    }
    if as_json:
        return print_json(result)
    if not built:
        print("Nothing to do: every step of this recipe is in the store, made from the same inputs.")
    print(f"\n{answer}\nReport:  {result['report']}\nNumbers: {result['results']}")
    return None


def _wanted(name: str, machine: Machine, rehearse: bool) -> Recipe:
    """The recipe of that name, or its rehearsal on this machine."""
    from hornbook.experiment.rehearsal import rehearsed_on

    recipe = read_recipe(name)
    return rehearsed_on(recipe, machine) if rehearse else recipe


def plan(
    recipe: RecipeArgument,
    root: RootOption = None,
    machine: MachineOption = None,
    rehearse: RehearseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say what `run` would reuse and what it would build, why, and what its teachers would cost; builds nothing."""
    from hornbook.experiment import plan as planning
    from hornbook.experiment.costs import costs, trainings

    where = read_machine(machine, root, None)
    what = _wanted(recipe, where, rehearse)
    planned = planning.plan(what, where, even_without_inputs=True)
    rows = [
        {
            "step": p.step.key,
            "state": p.state,
            "fingerprint": p.fingerprint if p.is_known else "not known",
            "why": "it cannot be had: see below" if p.missing else p.why,
        }
        for p in planned
    ]
    unbuilt = {p.step.key for p in planned if p.state != "reuse"}
    training = [training for training in trainings(what) if training.step in unbuilt]
    revisions = {name: commit for p in planned for name, commit in p.revisions.items()}
    if as_json:
        print_json(
            {
                "steps": rows,
                "costs": [asdict(cost) for cost in costs(planned, where)],
                "trainings": [asdict(one) for one in training],
                "revisions": revisions,
            }
        )
        return _end(planned)
    print_table(rows)
    missing = sum(row["state"] != "reuse" for row in rows)
    print(
        f"\n{missing} of {len(rows)} steps to build."
        if missing
        else "\nNothing to build: all of it is in the store."
    )
    _print_trainings(training)
    for name, commit in revisions.items():
        print(f"{name} may move; pin the commit that it stands for today: {commit}")
    _print_costs(costs(planned, where))
    return _end(planned)


def _end(planned: list[Planned]) -> None:
    """InputError where what the plan needs from outside cannot be had: the plan is shown all the same."""
    from hornbook.core.errors import InputError

    missing = dict.fromkeys(f"{p.step.key}: {p.missing}" for p in planned if p.missing)
    if missing:
        raise InputError("; ".join(["not all that the recipe names can be had", *missing]))


def _print_costs(asking: list[Cost]) -> None:
    """What will be asked, a row a step, and what the numbers rest on."""
    if not asking:
        return
    print()
    print_table([_cost_row(cost) for cost in asking])
    money = sum(cost.estimate.money for cost in asking)
    error = sum(cost.estimate.money_error for cost in asking)
    asks = sum(cost.estimate.asks - cost.estimate.cached for cost in asking)
    price = f"{_with_error(money, error)} at the prices of the machine file" if money else NO_PRICE
    print(f"{asks:,} asks to send, {price}.")
    print(
        "Tokens and money are for what is not cached; answers count as long as they may be until ten are cached."
    )
    if any(cost.estimate.sampled for cost in asking):
        print("± is the error (95 %) of counting a sample of the requests instead of all of them.")
    for guess in dict.fromkeys(cost.guess for cost in asking if cost.guess):
        guessed = [cost.step for cost in asking if cost.guess == guess]
        print(f"A guess, {', '.join(guessed)}: {guess}")


def _print_trainings(training: list[Training]) -> None:
    """What will be trained, a row a step."""
    if not training:
        return
    print()
    print_table(
        [
            {
                "trains": one.step,
                "parameters": one.parameters,
                "tokens": one.tokens,
                "steps": one.steps,
                "epochs": f"{one.epochs:.1f}",
                "A100 hours": f"{one.a100_hours:,.1f}" if one.a100_hours >= 0.1 else "under 0.1",
            }
            for one in training
        ]
    )
    print("Hours are 6 x parameters x tokens at half the peak of one A100, 156 TFLOP/s.")


NO_PRICE = "at no price that the machine file tells"


def _with_error(value: float, error: float) -> int | str:
    """The value, and behind it the error that sampling leaves, where there is one."""
    digits = 0 if isinstance(value, int) else 2 if error else 4
    if isinstance(value, int) and not error:
        return value
    return f"{value:,.{digits}f} ± {error:,.{digits}f}" if error else f"{value:,.{digits}f}"


def _cost_row(cost: Cost) -> dict[str, object]:
    return {
        "asks": cost.step,
        "teacher": cost.teacher,
        "in all": cost.estimate.asks,
        "cached": _with_error(cost.estimate.cached, cost.estimate.cached_error),
        "tokens in": _with_error(cost.estimate.tokens_in, cost.estimate.tokens_in_error),
        "tokens out": _with_error(cost.estimate.tokens_out, cost.estimate.tokens_out_error),
        "money": _with_error(cost.estimate.money, cost.estimate.money_error),
        "a kept record": "not known yet" if cost.per_kept is None else f"{cost.per_kept:.3g}",
    }


def train(
    recipe: RecipeArgument,
    step: Annotated[str, typer.Argument(help="pretrain/ARM or finetune/ARM of the recipe.", metavar="STEP")],
    root: RootOption = None,
    machine: MachineOption = None,
    launch: LaunchOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; only the result.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train one model of a recipe from what is already in the store; `run` then goes on from it."""
    from hornbook.core.progress import open_progress
    from hornbook.experiment import execute as execution

    where = read_machine(machine, root, None, launch=launch)
    folder, lead = execution.train(read_recipe(recipe), where, step, open_progress(not quiet))
    if not lead:
        return None
    if as_json:
        return print_json({"step": step, "folder": str(folder)})
    print(f"Model: {folder}")
    return None
