"""run and plan: build what a recipe names, or say beforehand what that would be."""

from __future__ import annotations

from typing import Annotated

import typer

from hornbook.commands.options import (
    JsonOption,
    MachineOption,
    RecipeArgument,
    RootOption,
    WorkersOption,
    read_machine,
    read_recipe,
)
from hornbook.commands.printing import print_json, print_table


def run(
    recipe: RecipeArgument,
    root: RootOption = None,
    machine: MachineOption = None,
    workers: WorkersOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; only the result.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Build everything that a recipe names and is not yet there; ends with the report."""
    from hornbook.core.progress import open_progress
    from hornbook.runner import execute, plan

    what, where = read_recipe(recipe), read_machine(machine, root, workers)
    planned = plan(what, where)
    built = sum(p.state != "reuse" for p in planned)
    folder = execute(what, where, planned, open_progress(not quiet))
    result = {"report": str(folder / "report.html"), "results": str(folder / "results.json"), "built": built}
    if as_json:
        return print_json(result)
    if not built:
        print("Nothing to do: every step of this recipe is in the store, made from the same inputs.")
    print(f"Report:  {result['report']}\nNumbers: {result['results']}")
    return None


def plan(
    recipe: RecipeArgument,
    root: RootOption = None,
    machine: MachineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what `run` would reuse and what it would build, and why; builds nothing."""
    from hornbook import runner

    planned = runner.plan(read_recipe(recipe), read_machine(machine, root, None))
    rows = [
        {"step": p.step.key, "state": p.state, "fingerprint": p.fingerprint, "why": p.why} for p in planned
    ]
    if as_json:
        return print_json(rows)
    print_table(rows)
    missing = sum(row["state"] != "reuse" for row in rows)
    print(
        f"\n{missing} of {len(rows)} steps to build."
        if missing
        else "\nNothing to build: all of it is in the store."
    )
    return None
