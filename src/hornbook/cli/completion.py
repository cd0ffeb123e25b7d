"""What the Tab key offers: recipes, runs, and the models and steps of a run."""

from __future__ import annotations

import string
from importlib.resources import files
from pathlib import Path

import typer

VISIBLE = string.ascii_letters + string.digits + "_"


def recipes(incomplete: str) -> list[str]:
    """Shipped recipes, and folders and .toml files here."""
    shipped = sorted(Path(item.name) for item in (files("hornbook") / "recipes").iterdir())
    names = [path.stem for path in shipped if path.suffix == ".toml" and path.stem.startswith(incomplete)]
    folder, slash, prefix = incomplete.rpartition("/")
    there = Path(f"{folder}{slash}")
    paths = sorted(there.iterdir()) if there.is_dir() else []
    here = [
        p
        for p in paths
        if p.name.startswith(prefix or tuple(VISIBLE)) and (p.is_dir() or p.suffix == ".toml")
    ]
    return [*names, *(f"{folder}{slash}{p.name}{'/' * p.is_dir()}" for p in here)]


def runs(context: typer.Context, incomplete: str) -> list[str]:
    """The finished runs under the root."""
    return [run.name for run in _runs(context) if run.name.startswith(incomplete)]


def steps(context: typer.Context, incomplete: str) -> list[str]:
    """The steps of the run that was named before."""
    for run in _runs(context):
        if run.name == context.params.get("run"):
            links = (
                p.relative_to(run / "steps").as_posix() for p in (run / "steps").rglob("*") if p.is_symlink()
            )
            return sorted(link for link in links if link.startswith(incomplete))
    return []


def models(context: typer.Context, incomplete: str) -> list[str]:
    """RUN/ARM of every finished run."""
    found = (f"{run.name}/{arm.name}" for run in _runs(context) for arm in (run / "steps").glob("pretrain/*"))
    return sorted(name for name in found if name.startswith(incomplete))


def _runs(context: typer.Context) -> list[Path]:
    from hornbook.cli.options import given_root

    root = Path(given_root(context.params.get("root")) or "hornbook-data")
    return [lock.parent for lock in sorted(root.glob("runs/*/lock.json"))]
