"""answers: the answers paid for, what they took, and taking them to another place."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from hornbook.cli.options import JsonOption, MachineOption, RootOption, read_machine
from hornbook.cli.printing import print_json, print_table
from hornbook.core.errors import InputError

if TYPE_CHECKING:
    from hornbook.core.machine import Machine
FileArgument = Annotated[
    Optional[Path],  # noqa: UP045  (typer reads it at run time)
    typer.Argument(help="A JSONL file, an answer a line.", metavar="FILE"),
]


class Action(StrEnum):
    """What to do with the answers."""

    stats = "stats"
    export = "export"
    take_in = "import"


def answers(
    action: Annotated[
        Action, typer.Argument(help="What to do with them.", metavar="stats|export|import")
    ] = Action.stats,
    file: FileArgument = None,
    root: RootOption = None,
    machine: MachineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count the answers that teachers gave, export them, or import another machine's: none is paid for twice."""
    from hornbook.teachers import Answers
    from hornbook.teachers.open import ANSWERS

    where = read_machine(machine, root, None)
    path = Path(where.root) / "cache" / ANSWERS
    if action is not Action.stats and file is None:
        raise InputError(
            f"hornbook answers {action.value} needs a file: hornbook answers {action.value} answers.jsonl"
        )
    if action is not Action.take_in and not path.exists():
        raise InputError(f"there are no answers in {path}; a run writes them there")
    kept = Answers(path)
    try:
        if action is Action.export and file:
            said: dict[str, Any] = {"exported": kept.export(file), "file": str(file)}
        elif action is Action.take_in and file:
            read, new = kept.take_in(file)
            said = {"read": read, "new": new, "file": str(file)}
        else:
            return _stats(kept, where, as_json)
    finally:
        kept.close()
    if as_json:
        return print_json(said)
    print(
        ", ".join(
            f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in said.items()
        )
    )
    return None


def _stats(kept: Any, machine: Machine, as_json: bool) -> None:
    """Answers by model, with their worth at the prices of the machine file, and what each run has spent."""
    from hornbook.core.machine import LocalPlace
    from hornbook.teachers.budget import Ledger
    from hornbook.teachers.open import SPENDINGS, prices

    models = []
    for model, revision, usage in kept.by_model():
        worth = prices(machine.teachers.get(model, LocalPlace())).money(usage.tokens_in, usage.tokens_out)
        models.append(
            {
                "model": model,
                "revision": revision[:12],
                "answers": usage.answers,
                "tokens_in": usage.tokens_in,
                "tokens_out": usage.tokens_out,
                "worth": round(worth, 6),
            }
        )
    path = Path(machine.root) / "cache" / SPENDINGS
    spent = []
    if path.exists():
        ledger = Ledger(path, ())
        for account, (asks, tokens, money) in ledger.spent().items():
            spent.append({"spent_by": account, "asks": asks, "tokens": tokens, "money": round(money, 6)})
        ledger.close()
    if as_json:
        return print_json({"models": models, "spent": spent})
    print_table(models, "No answers yet.")
    print()
    print_table(spent, "Nothing spent yet.")
    return None
