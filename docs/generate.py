"""Write docs/recipes.md: every setting of a recipe and of a machine file, from the configs themselves.

Run `python docs/generate.py`; a test fails while the page is behind the code.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from hornbook.core.machine import Machine
from hornbook.experiment.recipe import Recipe

PAGE = Path(__file__).parent / "recipes.md"
HEAD = """# Recipes and machine files

A **recipe** says what is made; all of it enters the fingerprints, so changing a value rebuilds what depends on it
and nothing else (`hornbook plan` says what). A **machine file** says where and how fast; none of it changes a
result. Both are TOML, and strict: an unknown key or a value out of range is one clear error.

Only `name` is always needed. A section that nothing is made from may be left out; one that is needed is asked for by
name. Paths are relative to the folder that hornbook is started in.

This page is generated from the code by `python docs/generate.py`.
"""
SKIPPED = {"pack", "report"}
"""Made from other settings, not written by a person."""


def page() -> str:
    """The whole page."""
    sections = [HEAD, "## The recipe\n", *_section(Recipe, "")]
    sections += [
        "## The machine file\n",
        "Given with `--machine FILE` or HORNBOOK_MACHINE.\n",
        *_section(Machine, ""),
    ]
    return "\n".join(sections)


def _section(config: type[BaseModel], prefix: str) -> Iterator[str]:
    """One table for a config's own values, then a section for each config inside it."""
    notes = _field_notes(config)
    rows, inside = [], []
    for name, field in config.model_fields.items():
        nested = list(_configs(field.annotation))
        if nested and name not in SKIPPED:
            key = f"{prefix}{name}"
            inside += [(f"{key}.NAME" if "dict" in str(field.annotation) else key, kind) for kind in nested]
        else:
            rows.append(
                f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {notes.get(name, '')} |"
            )
    if rows:
        yield "\n".join(["| setting | type | default | meaning |", "|---|---|---|---|", *rows, ""])
    for key, kind in inside:
        tags = ((name, get_args(field.annotation)) for name, field in kind.model_fields.items())
        chosen = [
            f', {name} = "{values[0]}"'
            for name, values in tags
            if name in ("source", "kind") and len(values) == 1
        ]
        yield f"### `[{key}]`{''.join(chosen)}\n\n{inspect.cleandoc(kind.__doc__ or '')}\n"
        yield from _section(kind, f"{key}.")


def _configs(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _configs(argument)


def _field_notes(config: type[BaseModel]) -> dict[str, str]:
    """Field -> the docstring that stands under it, of the class and the classes it extends."""
    notes: dict[str, str] = {}
    for kind in reversed(config.__mro__):
        if not (issubclass(kind, BaseModel) and kind.__module__.startswith("hornbook")):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        for field, note in zip(tree.body, tree.body[1:], strict=False):  # type: ignore[attr-defined]
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(note, ast.Expr)
                and isinstance(note.value, ast.Constant)
            ):
                notes[ast.unparse(field.target)] = " ".join(str(note.value.value).split()).replace("|", "\\|")
    return notes


def _type(annotation: Any) -> str:
    text = (
        annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    )
    return text.replace("typing.", "").replace("|", "or").replace("NoneType", "none")


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    bounds = [
        str(m) for m in field.metadata if any(hasattr(m, a) for a in ("gt", "ge", "lt", "le", "min_length"))
    ]
    shown = "required" if value is PydanticUndefined else f"`{value!r}`"
    return f"{shown} {_range(field.metadata)}".strip() if bounds else shown


def _range(metadata: list[Any]) -> str:
    signs = {"gt": "> {}", "ge": "≥ {}", "lt": "< {}", "le": "≤ {}", "min_length": "at least {} long"}
    found = [
        text.format(getattr(m, name)) for m in metadata for name, text in signs.items() if hasattr(m, name)
    ]
    return f"({', '.join(found)})"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
