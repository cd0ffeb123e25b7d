"""train: build one pretrain or finetune step, alone, in several processes, or as one process of a torchrun job."""

from __future__ import annotations

from typing import Annotated

import typer

from hornbook.commands.options import (
    JsonOption,
    LaunchOption,
    MachineOption,
    RecipeArgument,
    RootOption,
    read_machine,
    read_recipe,
)
from hornbook.commands.printing import print_json


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
    from hornbook import runner
    from hornbook.core.progress import open_progress

    where = read_machine(machine, root, None, launch=launch)
    folder, lead = runner.train(read_recipe(recipe), where, step, open_progress(not quiet))
    if not lead:
        return None
    if as_json:
        return print_json({"step": step, "folder": str(folder)})
    print(f"Model: {folder}")
    return None
