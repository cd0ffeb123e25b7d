"""What commands share: options, and the recipe and machine they name; the only reader of the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from hornbook.cli import completion
from hornbook.core.errors import InputError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from hornbook.core.machine import Machine
    from hornbook.experiment.recipe import Recipe
RecipeArgument = Annotated[
    str,
    typer.Argument(
        help="A recipe file, or the name of one that ships with hornbook.",
        metavar="RECIPE",
        autocompletion=completion.recipes,
    ),
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
IsolationOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--require-isolation",
        help="Refuse to execute programs below this level: process, filtered, full, or one layer's name.",
        metavar="LEVEL",
    ),
]
LaunchOption = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--launch", help="Processes that train one model together here. [default: 1]", min=1),
]
RehearseOption = Annotated[
    bool,
    typer.Option(
        "--rehearse",
        help="The same recipe with little of everything, under a name of its own: does each step work here?",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def read_recipe(name: str) -> Recipe:
    """A recipe by path or by the name of a shipped one."""
    from importlib.resources import files

    from hornbook.core.settings import parse, read_toml
    from hornbook.experiment.recipe import Recipe

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


def read_machine(
    path: Path | None,
    root: str | None,
    workers: int | None,
    require_isolation: str | None = None,
    launch: int | None = None,
) -> Machine:
    """The machine file (--machine, else HORNBOOK_MACHINE, else defaults) with the options on top."""
    from hornbook.core.machine import Machine
    from hornbook.core.settings import parse, read_toml

    path = path or (Path(os.environ["HORNBOOK_MACHINE"]) if os.environ.get("HORNBOOK_MACHINE") else None)
    values: dict[str, Any] = read_toml(path) if path else {}
    given = {"root": given_root(root), "workers": workers, "launch": launch}
    given["require_isolation"] = require_isolation
    where = parse(
        Machine, {**values, **{k: v for k, v in given.items() if v is not None}}, str(path or "options")
    )
    place = Path(where.root).absolute()
    nearest = next(folder for folder in (place, *place.parents) if folder.exists())
    if not nearest.is_dir():
        raise InputError(f"root {where.root}: {nearest} is a file; name a folder with --root")
    return where


def given_root(root: str | None) -> str | None:
    """--root, else HORNBOOK_ROOT."""
    return root or os.environ.get("HORNBOOK_ROOT")


def read_keys(machine: Machine) -> dict[str, SecretStr]:
    """Model -> its key, from the environment variable that the machine file names; an unset one is left out."""
    from pydantic import SecretStr

    places = {**machine.models, **machine.teachers}
    named = {model: getattr(place, "key_variable", "") for model, place in places.items()}
    return {
        model: SecretStr(os.environ[name].strip()) for model, name in named.items() if os.environ.get(name)
    }


def state_folder() -> Path:
    """Where the system has programs keep what is one user's own and outlasts a cache."""
    from platformdirs import user_state_path

    return user_state_path("hornbook")
