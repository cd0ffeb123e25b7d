"""The commands; the only place that reads the environment, prints errors or exits."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Optional

import typer

from hornbook.core.errors import HornbookError, InputError

if TYPE_CHECKING:
    from hornbook.core.config import Machine
    from hornbook.pipeline import Recipe

app = typer.Typer(
    help="Make textbook-quality data from raw code, train a small code model on it, and prove whether it paid off.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    epilog="Start with: `hornbook run nano`",
)

RecipeArgument = Annotated[
    str, typer.Argument(help="A recipe file, or the name of one that ships with hornbook.", metavar="RECIPE")
]
RootOption = Annotated[
    Optional[str],  # noqa: UP045  (typer reads it at run time)
    typer.Option(
        "--root", help="Folder for store/, runs/ and cache/. [default: hornbook-data]", metavar="FOLDER"
    ),
]
MachineOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--machine", help="Machine file: where and how fast, never what.", metavar="FILE"),
]
WorkersOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--workers", help="Worker processes. [default: one a processor]", min=1),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


@app.callback(invoke_without_command=True)
def _common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
) -> None:
    context.obj = {"debug": debug}
    if version:
        from hornbook import __version__

        print(__version__)
        raise typer.Exit


@app.command(epilog="Examples: `hornbook run nano` · `hornbook run my.toml --root /data/hb --workers 8`")
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

    what, where = _recipe(recipe), _machine(machine, root, workers)
    planned = plan(what, where)
    built = sum(p.state != "reuse" for p in planned)
    folder = execute(what, where, planned, open_progress(not quiet))
    result = {"report": str(folder / "report.html"), "results": str(folder / "results.json"), "built": built}
    if as_json:
        return _print_json(result)
    if not built:
        print("Nothing to do: every step of this recipe is in the store, made from the same inputs.")
    print(f"Report:  {result['report']}\nNumbers: {result['results']}")
    return None


@app.command(epilog="Example: `hornbook plan nano`, after a change to the recipe")
def plan(
    recipe: RecipeArgument,
    root: RootOption = None,
    machine: MachineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what `run` would reuse and what it would build, and why; builds nothing."""
    from hornbook import runner

    planned = runner.plan(_recipe(recipe), _machine(machine, root, None))
    rows = [
        {"step": p.step.key, "state": p.state, "fingerprint": p.fingerprint, "why": p.why} for p in planned
    ]
    if as_json:
        return _print_json(rows)
    _table(rows)
    missing = sum(row["state"] != "reuse" for row in rows)
    print(
        f"\n{missing} of {len(rows)} steps to build."
        if missing
        else "\nNothing to build: all of it is in the store."
    )
    return None


@app.command(epilog="Example: `hornbook status --root /data/hb`")
def status(root: RootOption = None, machine: MachineOption = None, as_json: JsonOption = False) -> None:
    """List the runs, what the store holds, and what was left unfinished."""
    from hornbook import inspection

    facts = inspection.status(_machine(machine, root, None))
    if as_json:
        return _print_json(facts)
    _table(facts["runs"], "No runs yet: `hornbook run nano` makes one.")
    print()
    _table(facts["stages"], "The store is empty.")
    for name in facts["unfinished"]:
        print(f"unfinished: {name} (the next run resumes it)")
    return None


@app.command(
    epilog="Examples: `hornbook show nano filter --where 'score > 0.9' --limit 3` · "
    "`hornbook show nano read --dropped --where \"reason = 'generated'\"` · `hornbook show nano textbooks --json`"
)
def show(
    run: Annotated[str, typer.Argument(help="Name of a run.", metavar="RUN")],
    step: Annotated[str, typer.Argument(help="Step, as `hornbook plan` names it.", metavar="STEP")] = "",
    where: Annotated[str, typer.Option(help="SQL condition over the columns.", metavar="SQL")] = "",
    part: Annotated[
        str, typer.Option(help="Part of the dataset: kept, dropped, heldout, attempts.")
    ] = "kept",
    dropped: Annotated[bool, typer.Option("--dropped", help="Look at what was dropped, and why.")] = False,
    limit: Annotated[int, typer.Option(help="Records to show.", min=1)] = 5,
    full: Annotated[bool, typer.Option("--full", help="Whole texts, not their first lines.")] = False,
    root: RootOption = None,
    machine: MachineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at the records of any dataset of a run, filtered by an SQL condition."""
    from hornbook import inspection

    where_to_look = _machine(machine, root, None)
    if not step:
        return _table(inspection.datasets(where_to_look, run), f"Run {run} has no datasets.")
    records = inspection.records(where_to_look, run, step, "dropped" if dropped else part, where, limit)
    if as_json:
        return _print_json(records)
    for record in records:
        print(inspection.describe(record, full))
    print(f"{len(records)} records shown." if records else "No record matches.")
    return None


@app.command(epilog="Examples: `hornbook clean` shows what would go · `hornbook clean --yes` removes it")
def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it nothing is touched.")] = False,
    root: RootOption = None,
    machine: MachineOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what no run uses and what was left unfinished; cached answers are always kept."""
    from hornbook import inspection

    removed = inspection.clean(_machine(machine, root, None), yes)
    if as_json:
        return _print_json({"removed": yes, "folders": removed})
    _table(removed, "Nothing to clean: every folder in the store belongs to a run.")
    if removed and not yes:
        print("\nNothing was removed; `hornbook clean --yes` removes these.")
    return None


def main() -> None:
    """Run the command line; a person's mistake ends in one line and the error's exit code."""
    debug = "--debug" in sys.argv
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # default: a busy neighbour slows training tenfold
    try:
        app()
    except HornbookError as error:
        if debug:
            raise
        _fail(f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        _fail("\nstopped; run the same command again to resume: finished work is kept", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _recipe(name: str) -> Recipe:
    """A recipe by path or by the name of a shipped one."""
    from importlib.resources import files

    from hornbook.core.config import parse, read_toml
    from hornbook.pipeline import Recipe

    shipped = files("hornbook") / "recipes"
    if name.endswith(".toml") or os.sep in name:
        return parse(Recipe, read_toml(Path(name)), name)
    path = Path(str(shipped / f"{name}.toml"))
    if not path.exists():
        names = sorted(
            item.name.removesuffix(".toml") for item in shipped.iterdir() if item.name.endswith(".toml")
        )
        raise InputError(
            f"no recipe is called {name!r}; shipped recipes: {', '.join(names)}; or give a path to a .toml"
        )
    return parse(Recipe, read_toml(path), name)


def _machine(path: Path | None, root: str | None, workers: int | None) -> Machine:
    """The machine file (--machine, else HORNBOOK_MACHINE, else defaults) with the options on top."""
    from hornbook.core.config import Machine, parse, read_toml

    path = path or (Path(os.environ["HORNBOOK_MACHINE"]) if os.environ.get("HORNBOOK_MACHINE") else None)
    values: dict[str, Any] = read_toml(path) if path else {}
    given = {"root": root or os.environ.get("HORNBOOK_ROOT"), "workers": workers}
    return parse(
        Machine, {**values, **{k: v for k, v in given.items() if v is not None}}, str(path or "options")
    )


def _print_json(value: Any) -> None:
    import orjson

    print(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY, default=str).decode())


def _table(rows: list[dict[str, Any]], empty: str = "") -> None:
    """Rows as a plain aligned table; colours only on a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return print(empty)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, value in rows[0].items():
        table.add_column(name, justify="right" if isinstance(value, int | float) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(f"{v:,}" if isinstance(v, int | float) else str(v)) for v in row.values()))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)
    return None


def _fail(text: str, code: int) -> NoReturn:
    red = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    print(f"\033[31m{text}\033[0m" if red else text, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
