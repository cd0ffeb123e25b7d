"""status, show and clean: looking at what was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hornbook.cli import completion
from hornbook.cli.options import JsonOption, MachineOption, RootOption, read_machine
from hornbook.cli.printing import print_json, print_table
from hornbook.core.errors import InputError

if TYPE_CHECKING:
    from hornbook.core.machine import Machine


def status(root: RootOption = None, machine: MachineOption = None, as_json: JsonOption = False) -> None:
    """List the runs, what the store holds, and what was left unfinished."""
    from hornbook.report import inspect as inspection

    facts = inspection.status(read_machine(machine, root, None))
    if as_json:
        return print_json(facts)
    print_table(facts["runs"], "No runs yet: `hornbook run nano` makes one.")
    print()
    print_table(facts["stages"], "The store is empty.")
    for name in facts["unfinished"]:
        print(f"unfinished: {name} (the next run resumes it)")
    return None


def show(
    run: Annotated[str, typer.Argument(help="Name of a run.", metavar="RUN", autocompletion=completion.runs)],
    step: Annotated[
        str,
        typer.Argument(
            help="Step, as `hornbook plan` names it.", metavar="STEP", autocompletion=completion.steps
        ),
    ] = "",
    where: Annotated[str, typer.Option(help="SQL condition over the columns.", metavar="SQL")] = "",
    part: Annotated[
        str, typer.Option(help="Part of the dataset: kept, dropped, clusters, labelled, heldout, attempts.")
    ] = "kept",
    dropped: Annotated[bool, typer.Option("--dropped", help="Look at what was dropped, and why.")] = False,
    limit: Annotated[int, typer.Option(help="Records to show.", min=1)] = 5,
    id_: Annotated[
        str,
        typer.Option(
            "--id",
            help="One document, kept or dropped; of a filter, why; of dedup, its copies.",
            metavar="ID",
        ),
    ] = "",
    full: Annotated[bool, typer.Option("--full", help="Whole texts, not their first lines.")] = False,
    root: RootOption = None,
    machine: MachineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at the records of any dataset of a run, filtered by an SQL condition; or at one, and why it is there."""
    from hornbook.report import inspect as inspection

    where_to_look = read_machine(machine, root, None)
    if id_ and not step:
        raise InputError(f"--id needs a step: hornbook show {run} filter --id {id_}")
    if not step:
        return print_table(inspection.datasets(where_to_look, run), f"Run {run} has no datasets.")
    if id_:
        return _show_one(where_to_look, run, step, (id_, full, as_json))
    records = inspection.records(where_to_look, run, step, "dropped" if dropped else part, where, limit)
    if as_json:
        return print_json(records)
    for record in records:
        print(inspection.describe(record, full))
    shown = f"{len(records)} record{'s' * (len(records) != 1)} shown."
    print(shown if records else "No record matches." if where else "There is no record in it.")
    return None


def _show_one(machine: Machine, run: str, step: str, asked: tuple[str, bool, bool]) -> None:
    from hornbook.report import explain as explanation
    from hornbook.report import inspect as inspection

    id_, full, as_json = asked
    part, record = explanation.find(machine, run, step, id_)
    why = explanation.explain(machine, run, step, record)
    if as_json:
        return print_json({"part": part, "record": record, "explanation": why})
    print(inspection.describe(record, full))
    if why:
        print(explanation.describe(why, part))
    return None


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it nothing is touched.")] = False,
    root: RootOption = None,
    machine: MachineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what no run uses and what was left unfinished; cached answers are always kept."""
    from hornbook.report import inspect as inspection

    removed = inspection.clean(read_machine(machine, root, None), yes)
    if as_json:
        return print_json({"removed": yes, "folders": removed})
    print_table(removed, "Nothing to clean: every folder in the store belongs to a run.")
    if removed:
        print("\nRemoved." if yes else "\nNothing was removed; `hornbook clean --yes` removes these.")
    return None
