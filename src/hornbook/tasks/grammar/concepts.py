"""What the grammar is made of: concepts as rows of data, and pieces, which are concepts with their number filled in."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Literal

Kind = Literal["predicate", "transform", "order", "reduce", "keyed"]
Value = int | str
TABLES = ("numbers", "strings", "reductions", "sequences", "sources")
HINTS = {"chr": "str"}
"""Element types whose type hint is not their own name; "chr" is a string of one character."""


@dataclass(frozen=True, slots=True)
class Fold:
    """A reduction as a loop: `start` before it, `step` in it, `done` returned after it."""

    start: str
    step: str
    done: str
    rest: str = ""
    """The same as recursion: an expression over one element and {rest}."""


@dataclass(frozen=True, slots=True, eq=False)
class Concept:
    """One idea that an exercise can ask for, with the words for it and the code for it.

    Code is over {x} (an operand: put in brackets where it needs them), {e} (the same, never in brackets) and
    {k!r}. Code of an order or a reduction is over {gen} (sole argument), {arg} (one of several), {xs} (a list);
    of a keyed one over {v} (the element), {y} (its transform), {source} ("v in items if ...").
    """

    name: str
    kind: Kind
    takes: str
    """Element type, or "any"."""
    gives: str
    """Element type, "same", or for the last step the hint of its result over {item} and {value}."""
    title: str
    """Its word in a function's name."""
    says: tuple[str, ...]
    """Noun phrases in the plural, over {noun} (predicates), {things} (the others; {bare}: the same without its
    article), {each} (keyed), {clause} (reductions of truth values)."""
    code: tuple[str, ...]
    """Spellings; none where only a loop is fit to be read."""
    meaning: str
    """The expression that defines it; the first spelling unless the table says otherwise."""
    each: str = ""
    """About one element: "is even" (predicates), "the square of {it}" (transforms)."""
    does: str = ""
    """As an instruction: "square each of them" (transforms)."""
    values: tuple[Value, ...] = ()
    """What {k} may be."""
    fold: Fold | None = None
    empty: str = ""
    """What a reduction gives where nothing is left to reduce, when that needs saying."""
    ordered: bool = False
    """Whether the order of the elements matters."""
    final: bool = False
    """Whether nothing can be applied to what it gives."""
    blind: bool = False
    """Whether it does not look at the elements, so that it makes no sense after a transform or an order."""
    permutes: bool = False
    """Whether it only moves (or repeats) elements, so that what ignores their order makes no sense after it."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Where the elements come from: the parameters of the function and the expression over them."""

    name: str
    item: str
    hints: tuple[str, ...]
    params: tuple[str, ...]
    variables: tuple[str, ...]
    noun: tuple[str, ...]
    where: tuple[str, ...]
    given: str
    code: tuple[str, ...]
    draw: tuple[str, ...]
    local: str = ""
    """A name for the elements where their expression is too long to stand inside another."""
    ordered: bool = True


@dataclass(frozen=True)
class Tables:
    """All concepts and sources by name."""

    concepts: Mapping[str, Concept]
    sources: Mapping[str, Source]

    def of_kind(self, kind: str) -> tuple[Concept, ...]:
        return tuple(concept for concept in self.concepts.values() if concept.kind == kind)


def tables_text() -> str:
    """The text of all tables: what an exercise depends on beside the settings."""
    folder = resources.files("hornbook.tasks.grammar") / "tables"
    return "\n".join((folder / f"{name}.toml").read_text(encoding="utf-8") for name in TABLES)


@lru_cache(maxsize=1)
def tables() -> Tables:
    """The tables that come with the package."""
    rows = tomllib.loads(tables_text())
    sources = [Source(**_frozen(row)) for row in rows.pop("source")]
    concepts = [_concept(kind, _frozen(row)) for kind, group in rows.items() for row in group]
    return Tables({c.name: c for c in concepts}, {s.name: s for s in sources})


def _frozen(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def _concept(kind: Any, row: dict[str, Any]) -> Concept:
    row.setdefault("title", row["name"])
    row.setdefault("gives", "bool")
    row.setdefault("meaning", row["code"][0] if row["code"] else "")
    fold = Fold(*row.pop("fold")) if "fold" in row else None
    return Concept(kind=kind, fold=fold, **row)


def fill(template: str, expression: str, k: Value | None = None, **more: str) -> str:
    """A template over one expression, the expression in brackets only where it needs them."""
    return template.format(x=operand(expression), e=expression, k=k, **more)


@lru_cache(maxsize=65536)
def operand(expression: str) -> str:
    """The expression, in brackets unless it binds as tightly as a name."""
    tight = ast.Name | ast.Call | ast.Subscript | ast.Attribute | ast.List | ast.ListComp | ast.Constant
    return expression if isinstance(ast.parse(expression, mode="eval").body, tight) else f"({expression})"


@lru_cache(maxsize=65536)
def function(source: str) -> Callable[..., Any]:
    """The function that a lambda of our own tables stands for."""
    made: Callable[..., Any] = eval(source, {})
    return made


@dataclass(frozen=True, slots=True)
class Piece:
    """A concept as one exercise uses it: its number, its spelling, its wording."""

    concept: Concept
    k: Value | None = None
    spelling: int = 0
    wording: int = 0

    @property
    def code(self) -> str:
        """The chosen spelling; IndexError where the concept is a loop only."""
        return self.concept.code[self.spelling % max(1, len(self.concept.code))]

    def of(self, expression: str) -> str:
        """The code of an element-wise piece applied to an expression."""
        return fill(self.code, expression, self.k)

    def says(self, things: str, **more: str) -> str:
        """Its noun phrase around another one."""
        template = self.concept.says[self.wording % len(self.concept.says)]
        return template.format(noun=things, things=things, bare=things.removeprefix("the "), k=self.k, **more)

    def each(self, it: str = "it") -> str:
        """What it says of one element."""
        return self.concept.each.format(it=it, k=self.k)

    def does(self) -> str:
        return self.concept.does.format(k=self.k)

    def apply(self, value: Any) -> Any:
        """What it means for an element (predicate, transform) or a list (order, reduction)."""
        return _meaning(self.concept.meaning, self.k)(value)

    def apply_keyed(self, items: list[Any], transform: Piece) -> Any:
        """What a keyed piece means for a list and a transform of its elements."""
        value = fill(transform.concept.meaning, "v", transform.k)
        return function(f"lambda xs: {self.concept.meaning.format(v='v', y=value, source='v in xs')}")(items)


@lru_cache(maxsize=4096)
def _meaning(template: str, k: Value | None) -> Callable[[Any], Any]:
    """The function of one argument (an element or a list) that a meaning stands for."""
    return function("lambda x: " + template.format(x="x", e="x", gen="x", arg="x", xs="x", k=k))
